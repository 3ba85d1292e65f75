"""Ogg: its pages, one by one (RFC 3533 section 6).

FFmpeg drops a page whose checksum is wrong, a second of sound for one bad byte, and shifts what
follows. Where the structure of such a page is whole, it is given the checksum of the bytes that
are there, so that only the bad packet is lost. Pages that are missing are counted, and the time of
the page before them is moved to where the next one begins, since FFmpeg takes it for that.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import Stated, size_of
from glagol.speech.audio.promises.zeros import end_of_bytes

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["ogg"]

NAME = b"OggS\0"
HEADER = 27
PAGE_MAX = HEADER + 255 + 255 * 255
"""Largest page: header, segment table, 255 segments."""

BLOCK = 1 << 20
PAGES_MAX = 2_000_000
"""Later ones are not looked at: eleven hours with a page for each packet of 20 ms."""

MENDED_MAX = 1_000
LOST_MAX = 1_000_000
FIRST = 2
"""Flag of the first page of a stream."""

CONTINUED = 1
"""Flag of a page that begins with the rest of a packet."""

ALIKE_MAX = 4
"""So many first bytes are a sign of a codec whose packets begin alike."""

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Page:
    """The last page of a stream: its place, bytes, number, granule, and length in granules."""

    at: int
    data: bytes
    number: int
    granule: int
    length: int


@dataclass(slots=True)
class _Pages:
    """What the pages said so far.

    Attributes:
        patches: checksums of damaged pages, granules of pages before missing ones.
        damaged: how many pages have wrong bytes.
        missing: how many are not there.
        last: the last page of each stream in which a packet ends.
    """

    patches: list[tuple[int, bytes]] = field(default_factory=list)
    damaged: int = 0
    missing: int = 0
    last: dict[int, _Page] = field(default_factory=dict)


def ogg(file: Seekable) -> Stated:
    """What the pages say; the length in time is counted by granules that are there."""
    size = end_of_bytes(file, size_of(file))
    pages = _walked(file, size)
    found = Stated(end=size, patches=tuple(pages.patches), remark=_remark(pages))
    tail_start = max(0, size - PAGE_MAX)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    page = tail.rfind(NAME)
    if page < 0:
        return found
    header = tail[page : page + HEADER]
    table = tail[page + HEADER : page + HEADER + header[26]] if len(header) == HEADER else b""
    if len(header) < HEADER or len(table) < header[26]:
        return replace(found, missing="its last Ogg page is incomplete")
    lacking = page + HEADER + len(table) + sum(table) - len(tail)
    if lacking > size_of(file) - size:  # a page may end in zeros
        return replace(found, missing=f"its last Ogg page lacks {lacking} bytes")
    return replace(found, end=size + max(0, lacking), counted=True)


def _remark(pages: _Pages) -> str:
    """A phrase about pages that are not as they were written; empty when all are."""
    found = [f"{pages.damaged} of its pages are damaged"] * (pages.damaged > 0)
    found += [f"{pages.missing} of its pages are missing"] * (pages.missing > 0)
    return ", ".join(found)


def _walked(file: Seekable, size: int) -> _Pages:
    """Every page up to `size`, in blocks, since pages are small and many."""
    pages, kept, start = _Pages(), b"", 0
    file.seek(0)
    left = PAGES_MAX
    while left > 0 and pages.damaged < MENDED_MAX and (block := file.read(BLOCK)):
        kept += block
        last = start + len(kept) >= size or len(block) < BLOCK
        at = kept.find(NAME)
        while at >= 0 and (last or at + PAGE_MAX + HEADER <= len(kept)):
            at = _heed(pages, kept, start, at)
            left -= 1
        keep = at if at >= 0 else max(0, len(kept) - len(NAME))
        start, kept = start + keep, kept[keep:]
    return pages


def _end_of_page(data: bytes, at: int) -> int | None:
    """Where the page ends that begins at `at`; None where `data` ends before."""
    if at + HEADER > len(data):
        return None
    end = at + HEADER + data[at + HEADER - 1]
    end += sum(data[at + HEADER : end])
    return end if end <= len(data) else None


def _heed(pages: _Pages, data: bytes, start: int, at: int) -> int:
    """Check the page at `at` of `data`, which begins at `start`, and return where the next one is.

    One whose bytes are wrong is mended where the next one follows it.
    """
    end = _end_of_page(data, at)
    if end is None:
        return data.find(NAME, at + len(NAME))
    page = data[at:end]
    if page[22:26] != _checksum(page):
        if not (data.startswith(NAME, end) or end == len(data)):
            return data.find(NAME, at + len(NAME))
        _mend(pages, page, start + at)
    _note(pages, page, start + at)
    return data.find(NAME, end)


def _mend(pages: _Pages, page: bytes, at: int) -> None:
    """Give a page its checksum, and its packets the first byte of those of the page before.

    Packets of Opus and FLAC begin alike, and a junk one could claim to last long.
    """
    last = pages.last.get(int.from_bytes(page[14:18], "little"))
    known = Counter(last.data[each] for each in _packets(last.data)) if last else Counter[int]()
    mended = bytearray(page)
    for place in _packets(page) if 0 < len(known) <= ALIKE_MAX else ():
        if page[place] not in known:
            mended[place] = max(known, key=known.__getitem__)
            pages.patches.append((at + place, bytes(mended[place : place + 1])))
    pages.damaged += 1
    pages.patches.append((at + 22, _checksum(bytes(mended))))


def _packets(page: bytes) -> list[int]:
    """Where the packets begin that begin in a page."""
    table = page[HEADER : HEADER + page[HEADER - 1]]
    found, at, begins = [], HEADER + len(table), not page[5] & CONTINUED
    for size in table:
        if begins and size:
            found.append(at)
        at, begins = at + size, size < 255
    return found


def _note(pages: _Pages, page: bytes, at: int) -> None:
    """Compare a page with the one before it."""
    granule, stream, number = struct.unpack("<qII", page[6:22])
    last = pages.last.get(stream)
    if page[5] & FIRST or last is None:
        pages.last[stream] = _Page(at, page, number, max(0, granule), 0)
        return
    lost = number - last.number - 1
    if 0 < lost < LOST_MAX:
        pages.missing += lost
        _move(pages, last, granule - last.length)
    length = granule - last.granule if lost == 0 else last.length
    if granule < 0:  # no packet ends in it
        pages.last[stream] = replace(last, number=number)
    else:
        pages.last[stream] = _Page(at, page, number, granule, max(0, length))


def _move(pages: _Pages, page: _Page, granule: int) -> None:
    """Let a page end where the next one begins that is there."""
    if granule > page.granule and page.length:
        data = page.data[:6] + granule.to_bytes(8, "little") + page.data[14:]
        pages.patches.append((page.at + 6, granule.to_bytes(8, "little")))
        pages.patches.append((page.at + 22, _checksum(data)))


def _checksum(page: bytes) -> bytes:
    """The CRC of Ogg: that of zlib with mirrored bits, which begins and ends with zeros."""
    data = (page[:22] + bytes(4) + page[26:]).translate(MIRRORED)
    found = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return found.to_bytes(4, "little").translate(MIRRORED)[::-1]
