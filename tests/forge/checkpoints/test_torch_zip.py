"""The zip container: plain members come out as views, every trick with the format is refused."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile

import pytest

from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints.torch_zip import Archive


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytearray:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # about repeated names
        for name, raw in members:
            archive.writestr(name, raw)
    return bytearray(out.getvalue())


def _refused(data: bytes | bytearray) -> str:
    with pytest.raises(IntegrityError) as caught:
        dict(Archive(bytes(data)))
    assert caught.value.code == "checkpoint_refused"
    return caught.value.message


def test_members_are_views() -> None:
    """Names and bytes as written, nothing copied."""
    data = bytes(_zip([("a/b", b"one"), ("a/c", b""), ("a/д", b"two")]))
    opened = Archive(data)
    assert {name: bytes(opened[name]) for name in opened} == {
        "a/b": b"one",
        "a/c": b"",
        "a/д": b"two",
    }
    assert opened["a/b"].obj is data
    assert "x" not in opened
    with pytest.raises(KeyError):
        opened["x"]


def test_sizes_of_64_bits() -> None:
    """Members whose sizes stand in the extra field, as in files of more than 4 GiB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"one")
    assert bytes(Archive(out.getvalue())["a"]) == b"one"
    data = _zip([("a", b"one")])
    entry = data.index(b"PK\1\2")
    wide = struct.pack("<HHQQ", 1, 16, 3, 3)
    struct.pack_into("<2I", data, entry + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", data, entry + 30, len(wide))
    end = data.index(b"PK\5\6")
    data[end:end] = wide
    struct.pack_into("<I", data, end + len(wide) + 12, end + len(wide) - entry)
    assert bytes(Archive(bytes(data))["a"]) == b"one"


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", "a//b", "a\\b", "./a", "a/", "a\x01", "a/.."]
)
def test_names_that_leave_the_archive(name: str) -> None:
    """No such name, though nothing is ever unpacked."""
    assert "is called" in _refused(_zip([(name, b"")]))


def test_forms_that_torch_does_not_write() -> None:
    """Compression, repeated names, something behind the end, no zip at all."""
    assert "compressed" in _refused(_zip([("a", b"x" * 99)], zipfile.ZIP_DEFLATED))
    assert "one name" in _refused(_zip([("a", b"1"), ("a", b"2")]))
    whole = _zip([("a", b"one")])
    for data in (whole + b"x", whole[:-1], b"", b"PK\5\6", b"PK\3\4 and no more" * 9, whole[30:]):
        _refused(data)
    encrypted = _zip([("a", b"one")])
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in _refused(encrypted)


def test_directories_that_lie() -> None:
    """Wrong counts, places, sizes and names; two members over the same bytes; a wrong CRC."""
    data = _zip([("a", b"one"), ("b", b"two")])
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    end = data.index(b"PK\5\6")

    def changed(place: int, form: str, *values: int) -> bytearray:
        copy = bytearray(data)
        struct.pack_into(form, copy, place, *values)
        return copy

    assert "limit" in _refused(changed(end + 8, "<2H", 65_000, 65_000))
    _refused(changed(end + 10, "<H", 3))
    assert "outside" in _refused(changed(end + 16, "<I", 1 << 30))
    assert "outside" in _refused(changed(first + 42, "<I", 1 << 30))
    assert "outside" in _refused(changed(first + 20, "<2I", 1 << 30, 1 << 30))
    assert "outside" in _refused(changed(first + 20, "<2I", 3, 4))
    assert "overlaps" in _refused(changed(first + 20, "<2I", 40, 40))
    assert "another name" in _refused(changed(second + 42, "<I", 0))
    assert "CRC" in _refused(changed(data.index(b"one"), "B", 0))
