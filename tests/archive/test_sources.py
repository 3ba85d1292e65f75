"""What a source means: folders, patterns, lists; and in which order recordings begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.archive.order import longest_first
from glagol.archive.places import Folder, place
from glagol.archive.sources import Source, listed
from glagol.core.errors import HostError, InputError


def no_parquet(path: Path, column: str) -> Iterator[str]:
    raise AssertionError(f"{path} {column} is no parquet file")


def found(where: object, column: str = "path") -> dict[str, Source]:
    sources = listed(str(where), column=column, parquet=no_parquet)
    return {source.place: source for source in sources}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings in folders, with things that are none."""
    for name in ("a.wav", "b/c.mp3", "b/d/E.OGG", "b/notes.txt", ".hidden.wav", ".git/x.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def test_a_folder_is_all_below_it(folder: Path) -> None:
    """By place, with size and time; hidden files and other kinds are left out."""
    sources = found(folder)
    assert sorted(sources) == ["a.wav", "b/c.mp3", "b/d/E.OGG"]
    about = (folder / "b/c.mp3").stat()
    assert sources["b/c.mp3"] == Source(
        str(folder / "b/c.mp3"), "b/c.mp3", about.st_size, str(about.st_mtime_ns)
    )


def test_a_pattern_and_a_file(folder: Path) -> None:
    """A pattern finds files of any name; a file is itself."""
    assert [s.name for s in found(folder / "b/*").values()] == [
        str(folder / "b/c.mp3"),
        str(folder / "b/notes.txt"),
    ]
    assert list(found(folder / "a.wav")) == ["a.wav"]
    with pytest.raises(InputError, match="there is no"):
        found(folder / "missing")


def test_a_list_names_recordings(folder: Path) -> None:
    """Relative names are below the list; what is missing is listed, to fail by name."""
    names = folder / "list.csv"
    names.write_text("id,file\n1,b/c.mp3\n2,gone.wav\n3,\n4,../in/a.wav\n", encoding="utf-8")
    sources = found(names, "file")
    assert list(sources) == ["b/c.mp3", "gone.wav", "__/in/a.wav"]
    assert sources["gone.wav"].size_bytes == 0
    with pytest.raises(InputError) as refused:
        found(names, "path")
    assert "id, file" in refused.value.remedy


def test_credentials_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a key is none; its value is not printed."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SKIP_SIGNATURE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary")
    with pytest.raises(InputError) as refused:
        found("s3://bucket/prefix")
    assert refused.value.code == "setting_invalid"
    assert "AWS_SECRET_ACCESS_KEY" in refused.value.remedy
    assert "canary" not in refused.value.message + refused.value.remedy


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(0, 9), max_size=30), lookahead=st.integers(1, 8))
def test_the_longest_begins(sizes: list[int], lookahead: int) -> None:
    """All come once; none begins while a longer one is among those that were listed."""
    sources = [Source(str(n), str(n), size, "") for n, size in enumerate(sizes)]
    order = list(longest_first(iter(sources), lookahead))
    assert sorted(order, key=lambda s: int(s.name)) == sources
    left = list(sources)
    for source in order:
        assert source.size_bytes == max(s.size_bytes for s in left[: lookahead + 1])
        left.remove(source)


def test_a_place_is_written_whole(tmp_path: Path) -> None:
    """Files are listed, read, replaced and removed; a name under a file is the host's error."""
    folder = place(str(tmp_path))
    assert isinstance(folder, Folder)
    folder.write("t/a", b"one")
    folder.write("t/a", b"two")
    assert [(e.name, e.size_bytes) for e in folder.files("t")] == [("t/a", 3)]
    assert folder.read("t/a") == b"two"
    with pytest.raises(HostError):
        folder.write("t/a/b", b"")
    folder.remove("t/a")
    assert folder.look("t/a") is None
    with pytest.raises(InputError, match="no address"):
        place("ftp://host/x")
