"""Several files at once: side by side, each once, stopped together, continued later."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from glagol.core.errors import IntegrityError
from glagol.registry.fetch_many import fetch_all
from glagol.registry.manifest.read import Artifact, SourceFile
from glagol.registry.store import Store
from registry.made import artifact
from registry.mirror import Mirror

FILES = [bytes([n]) * (400_000 + n) for n in range(5)]


def place(data: bytes) -> str:
    """Where a mirror has a blob."""
    digest = hashlib.sha256(data).hexdigest()
    return f"/sha256/{digest[:2]}/{digest[2:]}"


class Meeting(Mirror):
    """A mirror that answers when three requests have come."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.barrier = threading.Barrier(3)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Wait for the others."""
        self.barrier.wait(30)
        super().answer(request)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def wanted() -> list[Artifact]:
    """Five files."""
    return [artifact(data, f"part-{n}") for n, data in enumerate(FILES)]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Has them all."""
    with Mirror({place(data): data for data in FILES}) as running:
        yield running


def test_files_come_side_by_side(store: Store, wanted: list[Artifact]) -> None:
    """Three requests are under way at one time, or the mirror would never answer."""
    with Meeting({place(data): data for data in FILES}) as mirror:
        fetch_all(wanted[:3], store, mirrors=[mirror.url], at_once=3)
    assert all(store.verify(file.sha256) for file in wanted[:3])


def test_one_digest_is_fetched_once(store: Store, wanted: list[Artifact], mirror: Mirror) -> None:
    """Under two names; progress tells every file's bytes."""
    seen: dict[str, int] = {}
    twin = artifact(FILES[0], "twin")
    found = fetch_all(
        [*wanted, twin],
        store,
        mirrors=[mirror.url],
        progress=lambda file, done, _: seen.update({file.path: done}),
    )
    assert found == (*wanted, twin)
    assert sorted(path for path, _ in mirror.asked) == sorted(place(data) for data in FILES)
    assert seen == {f"part-{n}": len(data) for n, data in enumerate(FILES)}


def test_an_interrupted_fetch_resumes(store: Store, wanted: list[Artifact], mirror: Mirror) -> None:
    """What the caller stopped is kept and continued by range; what is whole is not asked again."""

    class EnoughError(Exception):
        pass

    def enough(file: Artifact, done: int, _: int | None) -> None:
        if file.path == "part-1" and done > 100_000:
            raise EnoughError

    with pytest.raises(EnoughError):
        fetch_all(wanted, store, mirrors=[mirror.url], at_once=1, progress=enough)
    assert [store.has(file.sha256) for file in wanted] == [True, False, False, False, False]
    mirror.asked.clear()
    fetch_all(wanted, store, mirrors=[mirror.url])
    assert all(store.verify(file.sha256) for file in wanted)
    asked = dict(mirror.asked)
    assert place(FILES[0]) not in asked
    assert (asked[place(FILES[1])] or 0) > 100_000


def test_a_file_missing_on_every_mirror_is_named(
    store: Store, wanted: list[Artifact], mirror: Mirror
) -> None:
    """Its error is raised, not that of the files that were stopped for it."""
    del mirror.files[place(FILES[2])]
    with pytest.raises(IntegrityError, match="part-2") as caught:
        fetch_all(wanted, store, mirrors=[mirror.url], at_once=2)
    assert caught.value.code == "artifact_missing"


def test_files_without_a_digest_get_one_when_asked(store: Store, mirror: Mirror) -> None:
    """Else they are refused; those with a digest stay as they are."""
    mirror.files["/config.json"] = b"{}"
    blank = SourceFile(path="config.json", urls=(f"{mirror.url}/config.json",), unpinned="new")
    sha256 = hashlib.sha256(FILES[0]).hexdigest()
    known = SourceFile(path="weights", sha256=sha256, urls=(mirror.url + place(FILES[0]),))
    with pytest.raises(IntegrityError) as caught:
        fetch_all([blank, known], store)
    assert caught.value.code == "artifact_unpinned"
    first, second = fetch_all([blank, known], store, pinning=True)
    assert (first.sha256, first.size_bytes) == (hashlib.sha256(b"{}").hexdigest(), 2)
    assert first.unpinned == ""
    assert second == known
