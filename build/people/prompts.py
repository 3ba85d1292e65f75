"""The prompts of people: Debian's sounds of Asterisk, with the texts that were read.

Only the standard library, so that both engines' environments can read them.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LANGUAGES = ("ru", "en")
WORDS_MIN = 3
CLIPS = "clips.json"


@dataclass(frozen=True)
class Prompt:
    """A recording of a person and what was read.

    Attributes:
        language: BCP 47.
        name: unique in its language.
        file: WAV, 8 kHz.
        text: as the package has it.
    """

    language: str
    name: str
    file: str
    text: str


@dataclass(frozen=True)
class Understood:
    """What an engine made of a prompt.

    Attributes:
        language: of the prompt.
        name: of the prompt.
        text: of the engine.
        seconds: of processor time.
        audio_s: duration.
        temperature: the highest that the engine took a text from.
    """

    language: str
    name: str
    text: str
    seconds: float
    audio_s: float
    temperature: float = 0.0


def prompts(
    folder: Path, step: int = 1, languages: tuple[str, ...] = LANGUAGES
) -> Iterator[Prompt]:
    """Every `step`-th prompt of at least three words, without digits or notes in brackets.

    Args:
        folder: where the packages were unpacked; or clips that `joined.py` made of them.
        step: 1 for all.
        languages: of the prompts, BCP 47.
    """
    if (folder / CLIPS).is_file():
        found = [Prompt(**row) for row in json.loads((folder / CLIPS).read_text())]
        yield from found[::step]
        return
    for language in languages:
        texts = next(folder.glob(f"usr/share/doc/*-{language}/core-sounds-{language}.txt.gz"))
        sounds = {
            path.name: path
            for path in sorted(folder.glob(f"usr/share/asterisk/sounds/{language}_*/*.wav"))
        }
        found = []
        for line in gzip.decompress(texts.read_bytes()).decode("utf-8").splitlines():
            name, _, text = line.partition(": ")
            if line.startswith(";") or re.search(r"[\d\[\]()<>:]", text):
                continue
            if f"{name}.wav" in sounds and len(re.findall(r"\w+", text)) >= WORDS_MIN:
                found.append(Prompt(language, name, str(sounds[f"{name}.wav"]), text.strip()))
        yield from found[::step]


def kept_name(prompt: Prompt) -> str:
    """The file of a prompt's samples."""
    return f"{prompt.language}-{prompt.name.replace('/', '-')}.npy"


def write(path: Path, rows: list[Understood]) -> None:
    """Keep what an engine made of the prompts."""
    path.write_text(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1))


def read(path: Path) -> list[Understood]:
    """What `write` kept."""
    return [Understood(**row) for row in json.loads(path.read_text())]
