"""Reads the set of questions: recordings written by hand, and turns made of templates around them.

Lines of a file: `= id | date | folder | title` begins a recording, `Speaker: text #label` is a
turn, `? kind: question` asks about the turn above, `? kind #label: question` about every turn
with the label. The turns of `filler.txt` come before and behind the written ones and fill
recordings of their own. Which words fill a slot is decided by a digest, so every machine makes the
same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from glagol.rag.turns import Recording, Turn

__all__ = ["KINDS", "UNANSWERABLE", "Question", "Questions", "load"]

HERE: Final = Path(__file__).resolve().parent
GENRES: Final = {
    "meeting": ("meetings.txt", "Совещание"),
    "call": ("calls.txt", "Звонок"),
    "clinic": ("clinic.txt", "Приём"),
    "news": ("news.txt", "Новости"),
}
UNANSWERABLE: Final = "none"
KINDS: Final = (
    *("names", "numbers", "paraphrase", "english", "who", "when", "often"),
    UNANSWERABLE,
)
BESIDE: Final = 5
OTHERS: Final = 16
"""Recordings of each genre that hold templates alone, of `LONG` turns."""

LONG: Final = 12
STEP: Final = 5
"""Has no divisor in common with the number of templates of any genre."""

SPEAKERS: Final = 3
_SLOT: Final = re.compile(r"\{(\w+)\}")
Place = tuple[str, int]
"""A turn: its recording and its number there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the turns that answer it; none where nothing does."""

    kind: str
    text: str
    gold: frozenset[Place]


@dataclass(frozen=True, slots=True)
class Questions:
    """Recordings and the questions about them."""

    recordings: tuple[Recording, ...]
    questions: tuple[Question, ...]


@dataclass
class _Written:
    """A recording as its file has it; turns with speaker, text and label."""

    head: list[str]
    turns: list[tuple[str, str, str]] = field(default_factory=list)
    asked: list[tuple[str, str, str, int]] = field(default_factory=list)

    def place(self, number: int) -> Place:
        """Of a turn by its number among the written ones."""
        return self.head[0], BESIDE + number


class _Templates:
    """The turns of `filler.txt`."""

    def __init__(self, text: str) -> None:
        self._slots: dict[str, list[str]] = {}
        self._lines: dict[str, list[str]] = {}
        genre = ""
        for line in filter(None, text.splitlines()):
            if line.startswith("@ "):
                name, _, values = line[2:].partition(": ")
                self._slots[name] = values.split("|")
            elif line.startswith("= "):
                genre = line[2:]
                self._lines[genre] = []
            else:
                self._lines[genre].append(line)

    def turns(self, genre: str, key: str, many: int) -> Iterator[tuple[str, str]]:
        """Speakers and texts of `many` turns, no template twice."""
        lines, first = self._lines[genre], _number(key)
        for n in range(many):
            line = lines[(first + STEP * n) % len(lines)]
            text = _SLOT.sub(partial(self._filled, f"{key} {n}"), line)
            yield _pick(f"{key} {_number(f'{key} {n}') % SPEAKERS}", self._slots["who"]), text

    def _filled(self, key: str, slot: re.Match[str]) -> str:
        return _pick(f"{key} {slot[1]}", self._slots[slot[1]])


def load() -> Questions:
    """The whole set."""
    templates = _Templates(_read("filler.txt"))
    recordings: list[Recording] = []
    written: list[_Written] = []
    for genre, (file, title) in GENRES.items():
        found = list(_written(_read(file)))
        written += found
        recordings += [_recording(each, genre, templates) for each in found]
        recordings += [_other(genre, title, number, templates) for number in range(OTHERS)]
    unanswerable = [line.partition(": ")[2] for line in _read("unanswerable.txt").splitlines()]
    nothing = [Question(UNANSWERABLE, text, frozenset()) for text in unanswerable if text]
    return Questions(tuple(recordings), (*_questions(written), *nothing))


def _written(text: str) -> Iterator[_Written]:
    found = _Written([])
    for line in filter(None, text.splitlines()):
        if line.startswith("= "):
            if found.head:
                yield found
            found = _Written(line[2:].split(" | "))
        elif line.startswith("? "):
            about, _, question = line[2:].partition(": ")
            kind, _, label = about.partition(" #")
            found.asked.append((kind, label, question, len(found.turns) - 1))
        else:
            speaker, _, said = line.partition(": ")
            words, _, label = said.partition(" #")
            found.turns.append((speaker, words, label))
    yield found


def _recording(written: _Written, genre: str, templates: _Templates) -> Recording:
    name, date, folder, title = written.head
    said = [
        *templates.turns(genre, f"{name} before", BESIDE),
        *((speaker, text) for speaker, text, _ in written.turns),
        *templates.turns(genre, f"{name} behind", BESIDE),
    ]
    return Recording(name, "", folder, title, date, _turns(said))


def _other(genre: str, title: str, number: int, templates: _Templates) -> Recording:
    name = f"{genre}-{number}"
    said = list(templates.turns(genre, name, LONG))
    date = f"2026-{number % 6 + 1:02d}-{number + 3:02d}"
    return Recording(name, "", "разное", f"{title} {number + 1}", date, _turns(said))


def _turns(said: list[tuple[str, str]]) -> tuple[Turn, ...]:
    return tuple(
        Turn(8.0 * n, 8.0 * n + 7, speaker, -1, text) for n, (speaker, text) in enumerate(said)
    )


def _questions(written: list[_Written]) -> Iterator[Question]:
    labels: dict[str, set[Place]] = {}
    for each in written:
        for number, (_, _, label) in enumerate(each.turns):
            labels.setdefault(label, set()).add(each.place(number))
    for each in written:
        for kind, label, text, number in each.asked:
            gold = labels[label] if label else {each.place(number)}
            yield Question(kind, text, frozenset(gold))


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _pick(key: str, values: list[str]) -> str:
    return values[_number(key) % len(values)]
