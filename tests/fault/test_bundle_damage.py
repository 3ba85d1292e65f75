"""Every kind of damage to every file of a bundle is found, named, and leaves the old release."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import made
from fault.conftest import World, install
from glagol.bundle import errors, reader
from glagol.bundle.install.disk import Disk
from glagol.bundle.split import split
from glagol.bundle.verify import (
    BLOCK,
    INDEX,
    SUMS,
    BundleError,
    Trusted,
    main,
    parse_header,
    read,
    signature_check,
    tar_members,
    verify,
)
from glagol.core.errors import CODES, GlagolError, IntegrityError

MEMBERS = 34  # of the made-up bundle; `test_every_member_has_its_cases` holds it
SAME = {"bundle_altered", "bundle_invalid", "bundle_missing", "bundle_added"}


def layout(data: bytes) -> list[tuple[str, int, int]]:
    """(path, offset of the header, size) of every member."""
    found, at = [], 0
    while entry := parse_header(data[at : at + BLOCK]):
        found.append((entry.path.partition("/")[2], at, entry.size))
        at += BLOCK + entry.size + -entry.size % BLOCK
    return found


def flip(data: bytes, at: int, bit: int = 3) -> bytes:
    """One bit."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def end_of(member: tuple[str, int, int]) -> int:
    """Where the next header is."""
    return member[1] + BLOCK + member[2] + -member[2] % BLOCK


Damage = Callable[[bytes, tuple[str, int, int]], bytes]
DAMAGES: dict[str, Damage] = {
    "a bit of the header": lambda d, m: flip(d, m[1] + 7),
    "a bit of the mode": lambda d, m: flip(d, m[1] + 104, 1),
    "a bit of the first byte": lambda d, m: flip(d, m[1] + BLOCK),
    "a bit of the last byte": lambda d, m: flip(d, m[1] + BLOCK + max(m[2] - 1, 0), 0),
    "a byte missing": lambda d, m: d[: m[1] + BLOCK] + d[m[1] + BLOCK + 1 :],
    "the member missing": lambda d, m: d[: m[1]] + d[end_of(m) :],
    "the member twice": lambda d, m: d[: end_of(m)] + d[m[1] :],
    "the end cut off here": lambda d, m: d[: m[1] + BLOCK + m[2] // 2],
}


def faults_of(data: bytes) -> list[BundleError]:
    """Everything that the verifier says."""
    found: list[BundleError] = []
    trusted = Trusted(signature_check(None, allow_unsigned=True))
    try:
        verify(read(tar_members(io.BytesIO(data)), trusted, found.append), trusted)
    except BundleError as error:
        found.append(error)
    return found


def refused(world: World, place: Path) -> GlagolError:
    """What `apply` says; the old release must still serve, every byte of it."""
    with pytest.raises(GlagolError) as caught:
        install(place, world.tempted, Disk(), made.Machine())
    assert made.serves(world.tempted) == "glagol-0.1.0+m1-cpu"
    assert not list(world.tempted.root.rglob("*.partial"))
    return caught.value


def test_every_member_has_its_cases(world: World) -> None:
    """The number below is how many members there are, so no member is left out."""
    data = world.new.tar.read_bytes()
    assert len(layout(data)) == MEMBERS
    assert not faults_of(data)


@pytest.mark.parametrize("number", range(MEMBERS))
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(world: World, tmp_path: Path, damage: str, number: int) -> None:
    """By the verifier and by `apply`, with exit status 4."""
    data = world.new.tar.read_bytes()
    member = layout(data)[number]
    broken = DAMAGES[damage](data, member)
    found = faults_of(broken)
    assert found
    assert {error.code for error in found} <= SAME
    names = {member[0], INDEX} if member[0] == SUMS else {member[0]}  # two lists that disagree
    assert any(name in error.message for error in found for name in names), found[0].message
    place = tmp_path / "broken.tar"
    place.write_bytes(broken)
    error = refused(world, place)
    assert error.code == found[0].code
    assert CODES[error.code].exit_status == 4
    assert main([str(place), "--allow-unsigned", "--quiet"]) == 4


@pytest.mark.parametrize("whole", [False, True], ids=["contents", "members"])
def test_two_files_of_equal_size_swapped(world: World, tmp_path: Path, whole: bool) -> None:
    """Sums go with paths, not with sizes: both are named, or the one that is out of its order."""
    data = world.new.tar.read_bytes()
    one, two = [m for m in layout(data) if m[2] == 2100]
    skip = 0 if whole else BLOCK
    first, second = (data[m[1] + skip : end_of(m)] for m in (one, two))
    broken = data[: one[1] + skip] + second + data[end_of(one) : two[1] + skip] + first
    broken += data[end_of(two) :]
    assert len(broken) == len(data)
    messages = " ".join(error.message for error in faults_of(broken))
    assert one[0] in messages
    assert whole or two[0] in messages
    place = tmp_path / "broken.tar"
    place.write_bytes(broken)
    assert refused(world, place).code in SAME


@pytest.mark.parametrize("extra", [b"\0", b"x", bytes(10240)])
def test_bytes_after_the_end(world: World, extra: bytes) -> None:
    """A bundle ends where it ends."""
    assert [e.code for e in faults_of(world.new.tar.read_bytes() + extra)] == ["bundle_altered"]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 1000])
def test_a_file_that_is_no_bundle(size: int) -> None:
    """Emptiness and noise."""
    assert faults_of(bytes(size) if size < 600 else b"x" * size)[0].code in SAME


def unpacked(world: World, folder: Path) -> list[str]:
    """The new bundle as a folder; its paths."""
    data = world.new.tar.read_bytes()
    for path, at, size in layout(data):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data[at + BLOCK : at + BLOCK + size])
    return [path for path, _, _ in layout(data)]


def _swap_bit(path: Path) -> None:
    path.write_bytes(flip(path.read_bytes(), 0))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("number", range(0, MEMBERS, 3))
@pytest.mark.parametrize("harm", [_swap_bit, _cut, Path.unlink, _link])
def test_damage_to_a_folder(
    world: World, tmp_path: Path, harm: Callable[[Path], None], number: int
) -> None:
    """An unpacked bundle is held to the same."""
    names = [n for n in unpacked(world, tmp_path) if (tmp_path / n).stat().st_size]
    name = names[number % len(names)]
    harm(tmp_path / name)
    error = refused(world, tmp_path)
    assert error.code in SAME
    if harm is not _link:  # a link also adds the file that it leads to
        assert name in error.message


def test_a_file_added_to_a_folder(world: World, tmp_path: Path) -> None:
    """Nothing that is not listed gets in."""
    unpacked(world, tmp_path)
    (tmp_path / "src" / "sitecustomize.py").write_text("evil")
    error = refused(world, tmp_path)
    assert (error.code, "src/sitecustomize.py" in error.message) == ("bundle_added", True)


def parts_of(world: World, folder: Path) -> tuple[Path, list[Path]]:
    """The new bundle in parts of 10 kB."""
    listing = split(world.new.tar, folder, 10_000)
    return listing, sorted(folder.glob("*.tar.0??"))


def test_parts_give_the_bundle(world: World, tmp_path: Path) -> None:
    """Splitting twice changes nothing; joined parts are the tar."""
    listing, parts = parts_of(world, tmp_path)
    before = [part.stat().st_mtime_ns for part in parts]
    split(world.new.tar, tmp_path, 10_000)
    assert [part.stat().st_mtime_ns for part in parts] == before
    with reader.opened(str(listing)) as file:
        assert file.read(1 << 30) == world.new.tar.read_bytes()


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("harm", [_swap_bit, _cut, Path.unlink])
def test_damage_to_a_part(
    world: World, tmp_path: Path, harm: Callable[[Path], None], number: int
) -> None:
    """The part is named, by the stand-alone verifier too; splitting again repairs it alone."""
    listing, parts = parts_of(world, tmp_path)
    harm(parts[number])
    error = refused(world, listing)
    assert error.code == ("bundle_missing" if harm is Path.unlink else "bundle_altered")
    assert parts[number].name in error.message
    assert main([str(listing), "--quiet"]) == 4
    split(world.new.tar, tmp_path, 10_000)
    assert main([str(listing), "--quiet"]) == 0


def test_parts_shuffled(world: World, tmp_path: Path) -> None:
    """Equal sizes do not help."""
    listing, parts = parts_of(world, tmp_path)
    parts[0].rename(tmp_path / "x")
    parts[1].rename(parts[0])
    (tmp_path / "x").rename(parts[1])
    assert parts[0].name in refused(world, listing).message


def test_list_of_parts_damaged(world: World, tmp_path: Path) -> None:
    """A flipped bit in the list itself, at each of many places."""
    listing, _ = parts_of(world, tmp_path)
    data = listing.read_bytes()
    for at in range(0, len(data), 97):
        listing.write_bytes(flip(data, at, 0))
        with (
            pytest.raises(IntegrityError),
            errors.translated(),
            reader.opened(str(listing)) as file,
        ):
            file.read(1)
