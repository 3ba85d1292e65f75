"""What a machine made of a recording: kept as it came, and as a document that people may change."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

import msgspec

from glagol.core.errors import InputError, IntegrityError
from glagol.gateway.library import texts
from glagol.gateway.library.document import Document, Segment, Word
from glagol.gateway.library.operations import Change

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Transcript", "insert", "latest", "read", "to_document"]


class _Word(msgspec.Struct, frozen=True):
    start: float
    end: float
    text: str
    confidence: float | None = None


class _Segment(msgspec.Struct, frozen=True):
    start: float
    end: float
    text: str
    words: tuple[_Word, ...] = ()
    channel: int | None = None
    speaker: str | None = None


class _Provenance(msgspec.Struct, frozen=True):
    model: str = ""


class _Warning(msgspec.Struct, frozen=True):
    code: str


class Transcript(msgspec.Struct, frozen=True):
    """What the library reads of a transcript's JSON; the rest is kept unread."""

    segments: tuple[_Segment, ...]
    duration: float
    language: str = ""
    provenance: _Provenance = _Provenance()
    warnings: tuple[_Warning, ...] = ()


def read(result: bytes) -> Transcript:
    """Read the `data` object of a transcription's JSON.

    Raises:
        InputError: `import_invalid`, it is something else.
    """
    try:
        return msgspec.json.decode(result, type=Transcript)
    except msgspec.DecodeError as error:
        raise InputError(
            "import_invalid",
            f"this is not a transcript in Glagol's JSON: {error}",
            "import the JSON of a transcription, or subtitles in SRT",
        ) from error


def to_document(transcript: Transcript) -> Document:
    """The document that people begin with: times in whole milliseconds, confidence in per cent.

    Segments without words get them from their text, with times by letters.
    """
    segments = []
    for number, each in enumerate(transcript.segments, 1):
        start_ms = _ms(each.start)
        end_ms = max(start_ms, _ms(each.end))
        words = _words(each, start_ms, end_ms)
        channel = "" if each.channel is None else f"ch{each.channel}"
        segments.append(Segment(number, start_ms, end_ms, each.speaker or channel, words))
    return Document(tuple(sorted(segments, key=lambda segment: segment.order)))


def insert(
    db: sqlite3.Connection, recording: int, result: bytes, *, job: str, made_s: float
) -> Document:
    """Store a machine's text; the first one becomes the text that is shown.

    A later one, of another model, is kept beside it; what people have edited stays.

    Args:
        db: In a transaction.
        recording: Number.
        result: The `data` object of the transcription's JSON.
        job: Id of the job that made it; empty for an import.
        made_s: When, Unix seconds.

    Raises:
        InputError: `import_invalid`.
    """
    transcript = read(result)
    document = to_document(transcript)
    number = 1 + int(
        db.execute(
            "SELECT coalesce(max(number), 0) FROM machine WHERE recording = ?", (recording,)
        ).fetchone()[0]
    )
    db.execute(
        "INSERT INTO machine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            recording,
            number,
            made_s,
            job,
            transcript.provenance.model,
            ",".join(dict.fromkeys(each.code for each in transcript.warnings)),
            transcript.language,
            hashlib.sha256(result).hexdigest(),
            zlib.compress(result, 6),
        ),
    )
    if number == 1:
        texts.change(db, recording, Change(document.segments), 0)
    db.execute(
        "UPDATE recording SET state = 'done', trouble = '', duration_ms = ?, text_sha256 = ? "
        "WHERE number = ?",
        (_ms(transcript.duration), texts.text_digest(db, recording), recording),
    )
    return document


def latest(db: sqlite3.Connection, recording: int, number: int = 1) -> tuple[bytes, str]:
    """The bytes of a machine's text and their digest, both checked.

    Raises:
        InputError: `recording_unknown`, there is none.
        IntegrityError: `edits_altered`, the bytes are not those that were stored.
    """
    row = db.execute(
        "SELECT result, result_sha256 FROM machine WHERE recording = ? AND number = ?",
        (recording, number),
    ).fetchone()
    if row is None:
        raise InputError(
            "recording_unknown", "this recording has no such text", "wait until it is transcribed"
        )
    result = zlib.decompress(row[0])
    if hashlib.sha256(result).hexdigest() != row[1]:
        raise IntegrityError(
            "edits_altered", "the machine's text was altered", "restore the library from a backup"
        )
    return result, row[1]


def _words(segment: _Segment, start_ms: int, end_ms: int) -> tuple[Word, ...]:
    if not segment.words:
        return _spread(segment.text.split(), start_ms, end_ms)
    made: list[Word] = []
    at = start_ms
    for word in segment.words:
        first = min(max(at, _ms(word.start)), end_ms)
        last = min(max(first, _ms(word.end)), end_ms)
        percent = None if word.confidence is None else round(100 * word.confidence)
        made.append(Word("\u00a0".join(word.text.split()), first, last, percent))
        at = first
    return tuple(made)


def _spread(tokens: list[str], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    total = sum(map(len, tokens))
    made: list[Word] = []
    done = 0
    for token in tokens:
        first = start_ms + (end_ms - start_ms) * done // total
        done += len(token)
        made.append(Word(token, first, start_ms + (end_ms - start_ms) * done // total))
    return tuple(made)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
