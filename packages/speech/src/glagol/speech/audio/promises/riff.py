"""WAV, RF64 and BW64: stated size of the data chunk, existing bytes, and bytes behind it.

Recorders leave placeholders when they cannot seek back, allocate ahead, count the header as sound,
or wrap sizes at four gigabytes. FFmpeg believes the size; here it is believed only while the bytes
agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.behind import PCM, Form, sounds_alike
from glagol.speech.audio.promises.stated import NOTHING, Seekable, Stated, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["wave"]

PLACEHOLDERS = (
    range(1),
    range(0x7FF00000, 0x80001000),  # espeak-ng, sox; arecord writes 2^31
    range(0xFFFF0000, 1 << 32),
)
"""Sizes of data chunks that say: not known when the header was written."""

WRAP = 1 << 32
BEHIND_SECONDS = 0.5
"""Less sound than this behind the data chunk is not worth a word."""

SCAN_BYTES = 1 << 20
SCANNED_MAX = 64 << 20
"""Behind so many zeros there is no sound."""

CHUNKS_BEHIND = 1_000
DISGUISED = 2
"""Packets that are searched for compressed sound in what the header calls plain samples: they hold
eight of the largest frames of DTS."""

EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Where things are: form of the samples, data chunk, its stated size, and where that stands."""

    form: Form | None
    start: int
    size: int
    placeholder: bool
    size_at: int
    size_width: int


def wave(file: Seekable, head: bytes) -> Stated:
    """The statement of a RIFF/WAVE file.

    Args:
        file: seekable.
        head: its first 12 bytes or more.
    """
    if head[8:12] != b"WAVE":
        return NOTHING
    chunks = _chunks(file)
    if chunks is None:
        return NOTHING
    form = chunks.form
    exact = form is not None and form.tag in PCM and form.bytes_per_second > 0
    found = _stated(file, chunks, exact=exact)
    if not exact or form is None:
        return found
    stereo = (form.channels, form.bits) == (2, 16)  # the only form that players take DTS in
    return replace(found, searched=DISGUISED if stereo else 1)


def _stated(file: Seekable, chunks: _Chunks, *, exact: bool) -> Stated:
    """The statement of a file whose chunks are known; `exact`, its bytes are seconds."""
    there = max(0, size_of(file) - chunks.start)
    form = chunks.form

    def seconds(count: int) -> float | None:
        return count / form.bytes_per_second if exact and form is not None else None

    align = max(1, form.align) if form is not None else 1
    if chunks.placeholder:
        return Stated(end=chunks.start + there - there % align, seconds=seconds(there))
    missing = chunks.size - there
    if missing > 0:
        phrase = f"its header promises {chunks.size} bytes of sound, {there} are there"
        share = missing / there if there else None
        return Stated(missing=phrase, share=share, seconds=seconds(chunks.size))
    whole, remark = _whole(file, chunks, there)
    if whole == chunks.size:
        end = chunks.start + whole - whole % align  # sox pads blocks of GSM
        return Stated(end=end, seconds=seconds(whole), counted=not exact, remark=remark)
    patch = (chunks.size_at, whole.to_bytes(8, "little")[: chunks.size_width])
    if whole >= 1 << 8 * chunks.size_width:
        patch = (chunks.size_at, b"\xff" * chunks.size_width)
    return Stated(end=chunks.start + whole, patches=(patch,), seconds=seconds(whole), remark=remark)


def _chunks(file: Seekable) -> _Chunks | None:
    """Walk to the data chunk (RIFF; EBU Tech 3306 for `ds64`); None when there is none."""
    form, large, position = None, None, 12
    while True:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return None
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        if kind == b"ds64":
            large = (int.from_bytes(file.read(16)[8:16], "little"), position + 16)
        elif kind == b"fmt ":
            form = _form(file.read(min(size, 40)))
        elif kind == b"data":
            if large is not None and size == 0xFFFFFFFF:
                unknown = large[0] in (0, (1 << 64) - 1)
                return _Chunks(form, position + 8, large[0], unknown, large[1], 8)
            unknown = any(size in sizes for sizes in PLACEHOLDERS)
            return _Chunks(form, position + 8, size, unknown, position + 4, 4)
        position += 8 + size + size % 2


def _form(body: bytes) -> Form | None:
    if len(body) < 16:
        return None
    tag, channels = body[0] | body[1] << 8, body[2] | body[3] << 8
    if tag == EXTENSIBLE and len(body) >= 26:
        tag = body[24] | body[25] << 8
    rate = int.from_bytes(body[4:8], "little")
    align = body[12] | body[13] << 8
    return Form(tag, channels, rate, align, body[14] | body[15] << 8)


def _whole(file: Seekable, chunks: _Chunks, there: int) -> tuple[int, str]:
    """How many bytes of sound there are from the start of the data chunk, and a remark."""
    if chunks.size_width == 4 and there - chunks.size >= WRAP - SCAN_BYTES:
        wrapped = chunks.size + (there - chunks.size + SCAN_BYTES) // WRAP * WRAP
        return min(wrapped, there), ""
    rest = chunks.start + chunks.size
    rest = _behind_chunks(file, rest, chunks.start + there)
    behind = chunks.start + there - rest
    form = chunks.form
    if form is None or form.bytes_per_second <= 0:
        return chunks.size, ""
    if behind < BEHIND_SECONDS * form.bytes_per_second or _zeros(file, rest, behind):
        return chunks.size, ""
    what = f"its header states {chunks.size} bytes of sound, and {behind} bytes stand behind them"
    if sounds_alike(file, form, chunks.start, chunks.size, behind):
        whole = there - there % max(1, form.align)
        return whole, f"{what} that sound like it: all are transcribed"
    return chunks.size, f"{what} that are no chunk and do not sound like it: they are left out"


def _behind_chunks(file: Seekable, position: int, end: int) -> int:
    """Where the chunks behind the sound end; `position` itself where none begins."""
    for _ in range(CHUNKS_BEHIND):
        for start in (position + position % 2, position):
            file.seek(start)
            header = file.read(8)
            size = int.from_bytes(header[4:], "little")
            if len(header) == 8 and _is_name(header[:4]) and start + 8 + size <= end + 1:
                position = start + 8 + size
                break
        else:
            return position
    return end


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


def _zeros(file: Seekable, start: int, size: int) -> bool:
    return not any(block.strip(b"\0") for block in _blocks(file, start, min(size, SCANNED_MAX)))


def _blocks(file: Seekable, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (block := file.read(min(size, SCAN_BYTES))):
        size -= len(block)
        yield block
