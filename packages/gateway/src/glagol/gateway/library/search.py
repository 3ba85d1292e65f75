"""Search of all recordings that a person may read, by the stems of words."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from glagol.gateway.library.document import Segment
from glagol.gateway.library.stems import stem, tokens

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["Hit", "Hits", "search"]

_DECODER = msgspec.json.Decoder(Segment)
_WORDS_MAX = 16
_PER_RECORDING = 3


class Hit(msgspec.Struct, frozen=True):
    """A segment that holds every word of the question.

    Attributes:
        recording: Id.
        title: Of the recording.
        segment: Id of the segment.
        start_ms: Where the first word that fits is said.
        text: Of the segment.
        marks: Numbers of the words that fit.
    """

    recording: str
    title: str
    segment: int
    start_ms: int
    text: str
    marks: tuple[int, ...]


class Hits(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        hits: The newest recordings first, inside one by time; at most three of each recording.
        more: Whether older recordings hold the words, too.
    """

    hits: tuple[Hit, ...]
    more: bool


def search(db: sqlite3.Connection, query: str, folders: Sequence[int], *, limit: int = 20) -> Hits:
    """Find segments with all words of a question, whatever their forms.

    The index is walked from its newest entry on and left as soon as there is enough, so a frequent
    word costs no more than a rare one.

    Args:
        db: Any connection.
        query: Words; the last one may be the beginning of a word.
        folders: Ids of the folders that the person may read. Nothing of others is shown, not even
            a number.
        limit: Recordings at most.
    """
    words = tokens(query[:1000])[:_WORDS_MAX]
    if not words or not folders:
        return Hits((), more=False)
    wanted = [stem(word) for word in words]
    match = " AND ".join([*(f'"{word}"' for word in wanted[:-1]), _last(words[-1], wanted[-1])])
    places = ", ".join("?" * len(folders))
    rows = db.execute(
        "SELECT r.id, r.title, s.data "  # noqa: S608 - only question marks are put in
        "FROM word_fts f JOIN segment s ON s.row = f.rowid "
        "JOIN recording r ON r.number = s.recording "
        f"WHERE word_fts MATCH ? AND r.folder IN ({places}) ORDER BY f.rowid DESC",
        (match, *folders),
    )
    found: dict[tuple[str, str], deque[bytes]] = {}  # the last rows of a recording are its first
    more = False
    for recording, title, data in rows:
        key = (recording, title)
        more = key not in found and len(found) == limit
        if more:
            break
        found.setdefault(key, deque(maxlen=_PER_RECORDING)).append(data)
    hits = [
        _hit(*key, _DECODER.decode(data), wanted) for key, kept in found.items() for data in kept
    ]
    order = {recording: place for place, (recording, _) in enumerate(found)}
    return Hits(tuple(sorted(hits, key=lambda hit: (order[hit.recording], hit.start_ms))), more)


def _last(word: str, stemmed: str) -> str:
    """The last word may still be being typed: its letters as a beginning, or its stem."""
    return f'("{stemmed}" OR "{word}"*)' if len(word) > 1 else f'"{stemmed}"'


def _hit(recording: str, title: str, segment: Segment, wanted: Sequence[str]) -> Hit:
    marks = tuple(
        number
        for number, word in enumerate(segment.words)
        if any(_fits(token, wanted) for token in tokens(word.text))
    )
    start_ms = segment.words[marks[0]].start_ms if marks else segment.start_ms
    return Hit(recording, title, segment.id, start_ms, segment.text, marks)


def _fits(token: str, wanted: Sequence[str]) -> bool:
    return stem(token) in wanted or token.startswith(wanted[-1])
