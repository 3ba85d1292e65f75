"""What the rules of folders delete, at a moved clock; what a watched directory brings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.library.texts import TALK
from glagol.core.errors import InputError
from glagol.gateway.library import folders
from glagol.gateway.library.library import Library
from glagol.gateway.work.asr import Asr
from glagol.gateway.work.events import Events
from glagol.gateway.work.retention import Retention
from glagol.gateway.work.services import client
from glagol.gateway.work.transcriber import Transcriber
from glagol.gateway.work.uploads import Uploads
from glagol.gateway.work.watch import Watch

DAY_S = 86_400.0
AWAY = "http://127.0.0.1:9"


@dataclass
class Clock:
    """A clock that a test moves."""

    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@dataclass
class Shelf:
    """A library, a clock that a test moves, and what works on both."""

    library: Library
    uploads: Uploads
    disk: ThreadPoolExecutor
    clock: Clock

    def recorded(self, folder: int) -> str:
        """Id of a recording with sound and text."""
        begun = self.uploads.begin(
            owner="olga", title="звонок", folder=folder, length=4, options={}
        )
        with self.uploads.writing(begun.id, 0) as writer:
            writer.write(b"fLaC")
            writer.sync()
        self.uploads.finish(begun.id)
        return self.library.transcribed(begun.id, TALK).id

    def sweep(self) -> tuple[int, int]:
        """Run the sweep once; the recogniser is away, and nothing has a job there."""
        events, asked = Events(), client(AWAY)
        transcriber = Transcriber(self.library, Asr(asked, self.disk), events, self.disk)
        retention = Retention(
            self.library, self.uploads, transcriber, events, self.disk, self.clock
        )
        return asyncio.run(retention.sweep())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    clock = Clock()
    library = Library(tmp_path / "library", clock=clock)
    uploads = Uploads(library, tmp_path / "library/arriving", 1 << 20)
    with ThreadPoolExecutor(1) as disk:
        yield Shelf(library, uploads, disk, clock)
    library.close()


def test_what_is_due_goes_and_what_is_held_stays(shelf: Shelf) -> None:
    """First the sound, later the whole; another folder and a held recording are left alone."""
    number = folders.add(shelf.library.db, "смены")
    folders.change(shelf.library.db, number, name="смены", audio_days=1, text_days=10)
    due, held, other = shelf.recorded(number), shelf.recorded(number), shelf.recorded(1)
    shelf.library.hold(held, held=True)
    assert shelf.sweep() == (0, 0)
    shelf.clock.now_s += 1.5 * DAY_S
    assert shelf.sweep() == (0, 1)
    assert shelf.library.read(due).sound == "none"
    assert not shelf.library.files.path(due, "original").exists()
    assert shelf.library.text(due)[0].segments
    shelf.clock.now_s += 10 * DAY_S
    assert shelf.sweep() == (1, 0)
    with pytest.raises(InputError):
        shelf.library.read(due)
    assert shelf.sweep() == (0, 0)
    for kept in (held, other):
        assert shelf.library.files.path(kept, "original").exists()
    assert [hit.recording for hit in shelf.library.search("договор", [number]).hits] == [held]


def test_an_upload_that_was_given_up_goes_after_a_week(shelf: Shelf) -> None:
    """Its row and its bytes."""
    begun = shelf.uploads.begin(owner="", title="", folder=1, length=100, options={})
    with shelf.uploads.writing(begun.id, 0) as writer:
        writer.write(b"half")
        writer.sync()
    shelf.clock.now_s += 6 * DAY_S
    assert shelf.sweep() == (0, 0)
    shelf.clock.now_s += 2 * DAY_S
    assert shelf.sweep() == (1, 0)
    assert not shelf.uploads.sizes()


def test_a_watched_directory_brings_files_that_are_still(shelf: Shelf, tmp_path: Path) -> None:
    """A growing file waits, a hidden one and a link stay, and nothing is taken twice."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    watch = Watch(inbox, shelf.library, shelf.uploads, Events(), shelf.disk, shelf.clock)

    def turn() -> list[str]:
        return asyncio.run(watch.turn())

    (inbox / "звонок.flac").write_bytes(b"fLaC1")
    (inbox / ".part").write_bytes(b"fLaC2")
    (inbox / "link").symlink_to(inbox / ".part")
    assert not turn()
    shelf.clock.now_s += 3
    (inbox / "звонок.flac").write_bytes(b"fLaC12")
    assert not turn()
    shelf.clock.now_s += 3
    assert not turn()
    shelf.clock.now_s += 3
    (identity,) = turn()
    found = shelf.library.read(identity)
    assert (found.title, found.state, found.owner) == ("звонок.flac", "queued", "watch")
    assert shelf.library.files.path(identity, "original").read_bytes() == b"fLaC12"
    assert sorted(path.name for path in inbox.iterdir()) == [".part", "link"]
    (inbox / "звонок.flac").write_bytes(b"fLaC12")  # as after a crash before it was unlinked
    turn()
    shelf.clock.now_s += 6
    assert not turn()
    assert not (inbox / "звонок.flac").exists()


@pytest.mark.parametrize("length", [3, 5])
def test_an_upload_holds_what_was_announced(shelf: Shelf, length: int) -> None:
    """Not a byte more than its length, and it is not whole with less."""
    begun = shelf.uploads.begin(owner="", title="", folder=1, length=4, options={})
    with shelf.uploads.writing(begun.id, 0) as writer:
        if length > 4:
            with pytest.raises(Exception, match="4 bytes"):
                writer.write(b"x" * length)
        else:
            writer.write(b"x" * length)
    assert shelf.uploads.size(begun.id) == min(length, 4) * (length <= 4)
