"""Read the zip container of a torch checkpoint as views of its bytes.

``torch.save`` writes every member uncompressed, so a member is a slice of the file and nothing is
copied or inflated. Features that such a file does not need (compression, encryption, comments,
several disks, repeated names, overlapping members) are refused. Each member's CRC is checked when
it is first asked for. Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from glagol.forge.checkpoints.pickles import refused

MEMBERS_MAX: Final = 20_000

_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 1
_UNKNOWN32 = 0xFFFFFFFF
_ZIP64 = 1


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    end: int
    crc: int


class Archive(Mapping[str, memoryview]):
    """The members of a zip file without compression, by name.

    Args:
        data: the whole file; members are views of it.

    Raises:
        IntegrityError: ``checkpoint_refused``: no such file, or not a plain one.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        try:
            members = list(self._entries())
        except (struct.error, UnicodeDecodeError) as error:
            raise refused(f"it is no whole zip file ({error})") from error
        self._members = {member.name: member for member in members}
        if len(self._members) < len(members):
            raise refused("two members of the zip file have one name")
        self._checked: set[str] = set()
        end = 0
        for member in sorted(members, key=lambda item: item.start):
            if member.start < end:
                raise refused(f"the member {member.name} overlaps another one")
            end = member.end

    def __getitem__(self, name: str) -> memoryview:
        """Return the bytes of a member.

        Raises:
            KeyError: there is no such member.
            IntegrityError: ``checkpoint_refused``, its CRC is wrong.
        """
        member = self._members[name]
        view = self._data[member.start : member.end]
        if name not in self._checked:
            if zlib.crc32(view) != member.crc:
                raise refused(f"the member {name} is damaged (CRC)")
            self._checked.add(name)
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _directory(self) -> tuple[int, int, int]:
        """Number of members, offset and size of the central directory."""
        place = len(self._data) - _END.size
        if place < 0:
            raise refused("it is no zip file: too short")
        end = _END.unpack_from(self._data, place)
        if end[0] != b"PK\5\6" or end[-1]:
            raise refused("it is no zip file as torch.save writes them")
        _, _, _, _, count, size, offset, _ = end
        place -= _LOCATOR64.size
        if place >= 0 and bytes(self._data[place : place + 4]) == b"PK\6\7":
            _, _, place, _ = _LOCATOR64.unpack_from(self._data, place)
            if place > len(self._data) - _END64.size:
                raise refused("its zip directory lies outside the file")
            end64 = _END64.unpack_from(self._data, place)
            if end64[0] != b"PK\6\6":
                raise refused("its zip directory is damaged")
            count, size, offset = end64[7:]
        if count > MEMBERS_MAX:
            raise refused(f"{count} members in the zip file, the limit is {MEMBERS_MAX}")
        if offset + size > len(self._data):
            raise refused("its zip directory lies outside the file")
        return count, offset, size

    def _entries(self) -> Iterator[_Member]:
        count, place, size = self._directory()
        limit = place + size
        for _ in range(count):
            entry = _ENTRY.unpack_from(self._data, place)
            lengths = entry[10:13]
            start = place + _ENTRY.size
            place = start + sum(lengths)
            if entry[0] != b"PK\1\2" or place > limit:
                raise refused("its zip directory is damaged")
            name = bytes(self._data[start : start + lengths[0]]).decode()
            extra = bytes(self._data[start + lengths[0] : start + lengths[0] + lengths[1]])
            yield self._member(name, entry, extra)

    def _member(self, name: str, entry: tuple[int, ...], extra: bytes) -> _Member:
        flags, method, crc = entry[3], entry[4], entry[7]
        parts = name.split("/")
        if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(parts):
            raise refused(f"a member of the zip file is called {name[:80]!r}")
        if method or flags & _ENCRYPTED:
            raise refused(f"the member {name} is compressed or encrypted")
        packed, size, header = _wide(entry[8], entry[9], entry[16], extra)
        if packed != size or header > len(self._data) - _LOCAL.size:
            raise refused(f"the member {name} lies outside the file")
        local = _LOCAL.unpack_from(self._data, header)
        start = header + _LOCAL.size
        own = bytes(self._data[start : start + local[9]])
        start += local[9] + local[10]
        if local[0] != b"PK\3\4" or local[3] != method or own != name.encode():
            raise refused(f"the member {name} has another name or form at its place")
        if start + size > len(self._data):
            raise refused(f"the member {name} lies outside the file")
        return _Member(name, start, start + size, crc)


def _wide(packed: int, size: int, header: int, extra: bytes) -> tuple[int, int, int]:
    """Both sizes and the place of a member; 64-bit ones stand in the extra field, in this order."""
    wanted = [size, packed, header]
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        body = extra[place + 4 : place + 4 + length]
        place += 4 + length
        if kind != _ZIP64:
            continue
        at = 0
        for index, value in enumerate(wanted):
            if value == _UNKNOWN32:
                (wanted[index],) = struct.unpack_from("<Q", body, at)
                at += 8
    return wanted[1], wanted[0], wanted[2]
