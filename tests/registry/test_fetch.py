"""Files come from mirrors in order, continue where they stopped, and never arrive wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.registry.fetch import fetch, pin
from glagol.registry.manifest.read import SourceFile
from glagol.registry.store import Store
from registry.made import artifact
from registry.mirror import Mirror
from registry.test_store import file_size_limit

DATA = b"".join(hashlib.sha256(bytes([i // 256, i % 256])).digest() for i in range(31_250))
ENTRY = artifact(DATA, "encoder.data")
PATH = f"/sha256/{ENTRY.sha256[:2]}/{ENTRY.sha256[2:]}"
WRONG = DATA[:-1] + bytes([DATA[-1] ^ 1])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A good mirror, until a test decides otherwise."""
    with Mirror({PATH: DATA}) as running:
        yield running


@pytest.fixture
def closed() -> str:
    """An address where no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def partial_of(store: Store) -> Path:
    """Where a download of ENTRY keeps what it has."""
    return Path(f"{store.path_of(ENTRY.sha256)}.partial")


def begin(store: Store, data: bytes) -> None:
    """Leave the partial file of an earlier run."""
    partial_of(store).parent.mkdir(parents=True)
    partial_of(store).write_bytes(data)


def holds_only_the_blob(store: Store) -> bool:
    """The file is there, right, and nothing lies beside it."""
    found = [p for p in store.root.rglob("*") if p.is_file()]
    return found == [store.path_of(ENTRY.sha256)] and store.verify(ENTRY.sha256)


def test_store_on_a_usb_disk_is_a_mirror(store: Store, tmp_path: Path) -> None:
    """A copied store directory, with a space in its name, is enough."""
    usb = Store(tmp_path / "usb disk" / "store")
    usb.add_bytes(DATA)
    assert fetch(ENTRY, store, mirrors=[usb.root.as_uri()]) == store.path_of(ENTRY.sha256)
    assert holds_only_the_blob(store)
    assert store.path_of(ENTRY.sha256).stat().st_mode & 0o777 == 0o444
    shutil.rmtree(usb.root)
    fetch(ENTRY, store, mirrors=[usb.root.as_uri()])  # there already: no mirror is needed


def test_http_mirror_reports_progress(store: Store, mirror: Mirror) -> None:
    """Progress grows to the total; one request is enough."""
    seen: list[tuple[int, int | None]] = []
    fetch(ENTRY, store, mirrors=[mirror.url + "/"], progress=lambda *step: seen.append(step))
    assert holds_only_the_blob(store)
    assert mirror.asked == [(PATH, None)]
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_urls_of_the_manifest_are_asked_after_the_mirrors(store: Store, mirror: Mirror) -> None:
    """A url names one file, whatever it is called there."""
    mirror.files = {"/pub/model v1.bin": DATA}
    entry = artifact(DATA, urls=(f"{mirror.url}/pub/model%20v1.bin",))
    mirror.files["/pub/model%20v1.bin"] = DATA
    fetch(entry, store, mirrors=[f"{mirror.url}/copy"])
    assert [path for path, _ in mirror.asked] == [f"/copy{PATH}", "/pub/model%20v1.bin"]


@pytest.mark.parametrize("cuts", [[400_000], [100_000, 300_000, 0], [70_000] * 5])
def test_dropped_connection_is_continued_by_range(
    store: Store, mirror: Mirror, cuts: list[int]
) -> None:
    """The same mirror is asked for the rest, as long as each answer brings something."""
    mirror.cuts = cuts.copy()
    other = Mirror({PATH: DATA})
    with other:
        fetch(ENTRY, store, mirrors=[mirror.url, other.url])
    starts = [start for _, start in [*mirror.asked, *other.asked]]
    assert starts == sorted(starts, key=lambda start: start or 0)
    assert starts[-1]
    assert holds_only_the_blob(store)


def test_next_run_continues_what_this_one_began(store: Store, mirror: Mirror) -> None:
    """No mirror finished: what came is kept, and the next run asks only for the rest."""
    mirror.cuts = [500_000] + [0] * 20
    with pytest.raises(IntegrityError, match=r"stopped after \d+ of 1000000 bytes") as caught:
        fetch(ENTRY, store, mirrors=[mirror.url])
    assert caught.value.code == "artifact_missing"
    kept = partial_of(store).stat().st_size
    assert 400_000 < kept <= 500_000
    mirror.cuts, mirror.asked = [], []
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert mirror.asked == [(PATH, kept)]
    assert holds_only_the_blob(store)


def test_local_mirror_continues_too(store: Store, tmp_path: Path) -> None:
    """What began over the network may end from a USB disk; nothing is read twice."""
    usb = Store(tmp_path / "usb")
    usb.add_bytes(DATA)
    begin(store, DATA[:600_000])
    seen: list[int] = []
    fetch(ENTRY, store, mirrors=[usb.root.as_uri()], progress=lambda done, _: seen.append(done))
    assert seen[0] > 600_000
    assert holds_only_the_blob(store)


def test_complete_partial_needs_no_mirror(store: Store) -> None:
    """Killed between the last byte and the rename."""
    begin(store, DATA)
    fetch(ENTRY, store, mirrors=["http://127.0.0.1:9/never-asked"])
    assert holds_only_the_blob(store)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    "leftover", [b"rubbish" * 1000, WRONG, DATA + b"more", b""], ids=["bad", "full", "long", "0"]
)
def test_bad_leftover_heals(store: Store, mirror: Mirror, leftover: bytes, ranges: bool) -> None:
    """A partial file that is no prefix of the truth costs one more download, not a failure."""
    begin(store, leftover)
    mirror.ranges = ranges
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert mirror.asked[-1] == (PATH, None)
    assert holds_only_the_blob(store)


def test_server_without_ranges_starts_anew(store: Store, mirror: Mirror) -> None:
    """It answers a range with the whole file, which must not be appended."""
    begin(store, DATA[:1000])
    mirror.ranges = False
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert holds_only_the_blob(store)


@pytest.mark.parametrize("wrong", [WRONG, DATA[:-1], DATA + b"!"], ids=["flip", "short", "long"])
def test_wrong_bytes_send_to_the_next_mirror(store: Store, mirror: Mirror, wrong: bytes) -> None:
    """Nothing of the wrong file reaches the right one."""
    with Mirror({PATH: wrong}) as liar:
        fetch(ENTRY, store, mirrors=[liar.url, mirror.url])
    assert mirror.asked == [(PATH, None)]
    assert holds_only_the_blob(store)


def test_wrong_bytes_everywhere_are_an_integrity_error(store: Store, mirror: Mirror) -> None:
    """The wrong digest is named beside the expected one, and nothing is left."""
    mirror.files[PATH] = WRONG
    with pytest.raises(IntegrityError) as caught:
        fetch(ENTRY, store, mirrors=[mirror.url])
    assert caught.value.code == "artifact_altered"
    assert hashlib.sha256(WRONG).hexdigest() in caught.value.message
    assert ENTRY.sha256 in caught.value.message
    assert not [p for p in store.root.rglob("*") if p.is_file()]


def test_every_mirror_gives_its_reason(
    store: Store, mirror: Mirror, closed: str, tmp_path: Path
) -> None:
    """One error at the end lists them all, in order."""
    mirror.files.clear()
    empty = tmp_path / "empty"
    empty.mkdir()
    mirrors = [mirror.url, closed, empty.as_uri(), (tmp_path / "absent").as_uri()]
    with pytest.raises(IntegrityError) as caught:
        fetch(ENTRY, store, mirrors=mirrors)
    assert caught.value.code == "artifact_missing"
    assert "\n" not in caught.value.message
    places = [caught.value.message.index(f"{url}{PATH}: ") for url in mirrors]
    assert places == sorted(places)
    assert "404" in caught.value.message
    assert "Connection refused" in caught.value.message
    assert "no such directory" in caught.value.message
    assert "USB" in caught.value.remedy


def test_no_mirror_at_all(store: Store) -> None:
    """An entry without urls, fetched without mirrors."""
    with pytest.raises(IntegrityError, match="none is known"):
        fetch(ENTRY, store)


@pytest.mark.parametrize("address", ["/media/usb", "ftp://host/store", "C:\\store", ""])
def test_strange_mirror_is_the_callers_mistake(store: Store, address: str) -> None:
    """Said before anything is asked."""
    with pytest.raises(InputError) as caught:
        fetch(ENTRY, store, mirrors=[address])
    assert caught.value.code == "option_invalid"


def test_altered_blob_is_replaced(store: Store, mirror: Mirror) -> None:
    """`glagol models fetch` is the remedy that the error names."""
    store.add_bytes(DATA)
    path = store.path_of(ENTRY.sha256)
    path.chmod(0o644)
    path.write_bytes(WRONG)
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert bytes(store.open(ENTRY).data) == DATA


def test_two_fetches_of_one_file_take_turns(store: Store, mirror: Mirror) -> None:
    """The second finds what the first brought."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch(ENTRY, store, mirrors=[mirror.url]), range(4)))
    assert len(mirror.asked) == 1
    assert holds_only_the_blob(store)


def test_interrupted_fetch_keeps_its_bytes(store: Store, mirror: Mirror) -> None:
    """What progress raises comes out, and the next call continues."""

    def stop(done: int, total: int | None) -> None:
        if done > 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(ENTRY, store, mirrors=[mirror.url], progress=stop)
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert (mirror.asked[-1][1] or 0) > 300_000
    assert holds_only_the_blob(store)


def test_full_disk_asks_no_other_mirror(store: Store, mirror: Mirror) -> None:
    """It is this side's trouble; with room again the download continues."""
    with file_size_limit(200_000), pytest.raises(HostError) as caught:
        fetch(ENTRY, store, mirrors=[mirror.url, mirror.url])
    assert caught.value.code == "disk_full"
    assert len(mirror.asked) == 1
    fetch(ENTRY, store, mirrors=[mirror.url])
    assert mirror.asked[-1] == (PATH, 200_000)
    assert holds_only_the_blob(store)


def test_s3_bucket_is_a_mirror(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real client, against an endpoint of our own."""
    mirror.files = {f"/models/glagol{PATH}": DATA}
    for name, value in {
        "AWS_ENDPOINT": mirror.url,
        "AWS_REGION": "ru-1",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    begin(store, DATA[:1000])
    fetch(ENTRY, store, mirrors=["s3://models/glagol"])
    assert mirror.asked == [(f"/models/glagol{PATH}", 1000)]
    assert holds_only_the_blob(store)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"AWS_SKIP_SIGNATURE": "0"},
        {"AWS_ACCESS_KEY_ID": "key"},
        {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"},
    ],
)
def test_s3_without_credentials_asks_no_server(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    """The client would ask the cloud's metadata address: mirrors are refused, urls passed over."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {"AWS_ENDPOINT": mirror.url, **given}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        fetch(ENTRY, store, mirrors=["s3://models/glagol"])
    assert caught.value.code == "setting_invalid"
    assert "AWS_ACCESS_KEY_ID" in caught.value.remedy
    entry = artifact(DATA, "encoder.data", ("s3://models/encoder.data",))
    with pytest.raises(IntegrityError, match="no credentials"):
        fetch(entry, store)
    fetch(entry, store, mirrors=[mirror.url])
    assert mirror.asked == [(PATH, None)]


# The first fetch of a file without a published digest.


def first(mirror: Mirror, **rest: Any) -> SourceFile:
    """An unpinned entry served by the mirror."""
    mirror.files["/w.ckpt"] = DATA
    return SourceFile(path="w.ckpt", urls=(f"{mirror.url}/w.ckpt",), unpinned="unknown", **rest)


def test_unpinned_file_cannot_be_fetched(store: Store, mirror: Mirror) -> None:
    """Only `pin` accepts bytes that nothing vouches for."""
    with pytest.raises(IntegrityError) as caught:
        fetch(first(mirror), store, mirrors=[mirror.url])
    assert caught.value.code == "artifact_unpinned"
    assert mirror.asked == []


@pytest.mark.parametrize("md5", [None, hashlib.md5(DATA, usedforsecurity=False).hexdigest()])
def test_first_fetch_fills_the_digest(store: Store, mirror: Mirror, md5: str | None) -> None:
    """The returned entry is the line for the manifest; a drop in the middle changes nothing."""
    mirror.cuts = [300_000]
    entry = first(mirror, md5=md5)
    pinned = pin(entry, store)
    assert (pinned.sha256, pinned.size_bytes, pinned.unpinned) == (ENTRY.sha256, len(DATA), "")
    assert (pinned.path, pinned.md5, pinned.urls) == (entry.path, md5, entry.urls)
    assert holds_only_the_blob(store)
    assert fetch(pinned, store) == store.path_of(ENTRY.sha256)


@pytest.mark.parametrize(
    "known", [{"md5": "0" * 32}, {"size_bytes": 7}], ids=lambda known: next(iter(known))
)
def test_first_fetch_holds_to_what_is_known(
    store: Store, mirror: Mirror, known: dict[str, object]
) -> None:
    """Upstream's MD5 or a size is not a pin, but a contradiction is a refusal."""
    with pytest.raises(IntegrityError) as caught:
        pin(first(mirror, **known), store)
    assert caught.value.code == "artifact_altered"
    assert not [p for p in store.root.rglob("*") if p.is_file()]
