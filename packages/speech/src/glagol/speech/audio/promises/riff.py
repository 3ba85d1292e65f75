"""WAV, RF64 and BW64: stated size of the data chunk, existing bytes, and bytes behind it.

Recorders leave placeholders when they cannot seek back, allocate ahead, count the header as sound,
or wrap sizes at four gigabytes. FFmpeg believes the size; here it is believed only while the bytes
agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from glagol.speech.audio.promises.behind import PCM, Form, extended, form_of
from glagol.speech.audio.promises.stated import NOTHING, Seekable, Stated, size_of

__all__ = ["wave"]

PLACEHOLDERS = (
    range(1),
    range(0x7FF00000, 0x80001000),  # espeak-ng, sox; arecord writes 2^31
    range(0xFFFF0000, 1 << 32),
)
"""Sizes of data chunks that say: not known when the header was written."""

UNKNOWN_64 = 1 << 62
"""Sizes of `ds64` from here on say the same."""

WRAP = 1 << 32
WRAP_BYTES = 1 << 20
"""By how much less than a wrap a file may be longer than its size."""

CHUNKS_BEHIND = 1_000
DISGUISED = 2
"""Packets that are searched for compressed sound in what the header calls plain samples: they hold
eight of the largest frames of DTS."""


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Where things are: form of the samples, data chunk, its stated size, and where that stands.

    Attributes:
        form: of the samples, and the content of its chunk.
        start: of the samples.
        size: of the data chunk.
        placeholder: whether that says: unknown.
        size_at: where the size stands, and how wide it is.
        counted_at: where `ds64` has the number of samples, 0 for nowhere.
        odd: whether a chunk of odd size has no byte of padding, which FFmpeg expects.
    """

    form: Form | None
    content: bytes
    start: int
    size: int
    placeholder: bool
    size_at: int
    size_width: int
    counted_at: int
    odd: bool


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
    if chunks.odd:
        found = _rewritten(found, chunks)
    if not exact or form is None:
        return found
    stereo = (form.channels, form.align) == (2, 4)  # 16 bits: players take DTS in no other
    return replace(found, searched=DISGUISED if stereo else 1)


def _stated(file: Seekable, chunks: _Chunks, *, exact: bool) -> Stated:
    """The statement of a file whose chunks are known; `exact`, its bytes are seconds."""
    there = max(0, size_of(file) - chunks.start)
    form = chunks.form

    def seconds(count: int) -> float | None:
        return count / form.bytes_per_second if exact and form is not None else None

    align = max(1, form.align) if form is not None else 1
    counted = ((chunks.counted_at, bytes(8)),) if chunks.counted_at and exact else ()
    if chunks.placeholder:
        whole = there - there % align
        size = (_size(chunks, whole),) if chunks.size_width == 8 else ()
        end = chunks.start + whole
        return Stated(end=end, patches=(*size, *counted), seconds=seconds(there))
    missing = chunks.size - there
    if missing > 0:
        phrase = f"its header promises {chunks.size} bytes of sound, {there} are there"
        share = missing / there if there else None
        promised = seconds(chunks.size)
        return Stated(missing=phrase, patches=counted, share=share, seconds=promised)
    whole, remark = _whole(file, chunks, there)
    if whole == chunks.size:
        end = chunks.start + whole - whole % align  # sox pads blocks of GSM
        counts, exactly = not exact, seconds(whole)
        return Stated(end=end, patches=counted, seconds=exactly, counted=counts, remark=remark)
    patches = (_size(chunks, whole), *counted)
    return Stated(end=chunks.start + whole, patches=patches, seconds=seconds(whole), remark=remark)


def _size(chunks: _Chunks, whole: int) -> tuple[int, bytes]:
    """The patch that states another size; the largest one where it is wider than its place."""
    width = chunks.size_width
    return (chunks.size_at, min(whole, (1 << 8 * width) - 1).to_bytes(width, "little"))


def _rewritten(found: Stated, chunks: _Chunks) -> Stated:
    """The statement of the same samples behind a header of two chunks without padding."""
    size = min((found.end or WRAP) - chunks.start, WRAP - 1).to_bytes(4, "little")
    length = len(chunks.content).to_bytes(4, "little")
    header = b"RIFF" + size + b"WAVEfmt " + length + chunks.content + b"data" + size
    skip = chunks.start - len(header)
    end = None if found.end is None else found.end - skip
    return replace(found, skip=skip, end=end, patches=((0, header),)) if skip > 0 else found


def _chunks(file: Seekable) -> _Chunks | None:
    """Walk to the data chunk (RIFF; EBU Tech 3306 for `ds64`); None when there is none."""
    content, large, position, odd = b"", None, 12, False
    while True:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return None
        if not _is_name(header[:4]) and position % 2 == 0:
            file.seek(position - 1)
            before = file.read(8)
            if _is_name(before[:4]):
                header, position, odd = before, position - 1, True
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        start = position + 8
        if kind == b"ds64":
            large = (int.from_bytes(file.read(16)[8:16], "little"), position + 16)
        elif kind == b"fmt ":
            file.seek(start)
            content = file.read(min(size, 40))
        elif kind == b"data" and large is not None:
            unknown = large[0] == 0 or large[0] >= UNKNOWN_64
            sizes = (large[0], unknown, large[1], 8, large[1] + 8)
            return _Chunks(form_of(content), content, start, *sizes, odd)
        elif kind == b"data":
            unknown = any(size in sizes for sizes in PLACEHOLDERS)
            return _Chunks(form_of(content), content, start, size, unknown, position + 4, 4, 0, odd)
        position += 8 + size + size % 2


def _whole(file: Seekable, chunks: _Chunks, there: int) -> tuple[int, str]:
    """How many bytes of sound there are from the start of the data chunk, and a remark."""
    if chunks.size_width == 4 and there - chunks.size >= WRAP - WRAP_BYTES:
        wrapped = chunks.size + (there - chunks.size + WRAP_BYTES) // WRAP * WRAP
        return min(wrapped, there), ""
    end = chunks.start + there
    rest = _behind_chunks(file, chunks.start + chunks.size, end)
    return extended(file, chunks.form, chunks.start, chunks.size, rest, end)


def _behind_chunks(file: Seekable, position: int, end: int) -> int:
    """Where the chunks behind the sound end; `position` itself where none begins."""
    for _ in range(CHUNKS_BEHIND):
        for start in (position + position % 2, position):
            file.seek(start)
            header = file.read(8)
            size = int.from_bytes(header[4:], "little")
            if header.startswith((b"RIFF", b"RF64")):
                return position  # another file that was joined to this one
            if len(header) == 8 and _is_name(header[:4]) and start + 8 + size <= end + 1:
                position = start + 8 + size
                break
        else:
            return position
    return end


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)
