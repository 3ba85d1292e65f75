"""The library: what pages and programs ask of it, each method one transaction."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from glagol.core.errors import InputError
from glagol.gateway.library import deletion, folders, history, machine, texts
from glagol.gateway.library import search as searching
from glagol.gateway.library.files import Files
from glagol.gateway.library.schema import SCHEMA, SCHEMA_VERSION
from glagol.jobs.sqlite.connection import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from glagol.gateway.library.deletion import Receipt
    from glagol.gateway.library.document import Document
    from glagol.gateway.library.history import Edit
    from glagol.gateway.library.operations import Operation
    from glagol.gateway.library.search import Hits

__all__ = ["Library", "Recording", "Sound", "State"]

State = Literal["uploading", "queued", "running", "done", "failed"]
Sound = Literal["none", "original", "copy"]
TITLE_MAX: Final = 300
NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})
_FIELDS: Final = (
    "r.id, r.folder, r.owner, r.title, r.created_s, r.audio_sha256, r.bytes, r.duration_ms, "
    "r.channels, r.state, r.job, r.trouble, r.held, r.model, r.runs, r.text_sha256, r.number, "
    "r.options, r.sound, r.peaks"
)


class Recording(msgspec.Struct, frozen=True):
    """A recording as lists show it.

    Attributes:
        id: In addresses.
        folder: Id of its folder.
        owner: The person that uploaded it.
        title: What people call it.
        created_s: When it came, Unix seconds.
        audio_sha256: Digest of the original; empty while it is being uploaded.
        bytes: Size of the original.
        duration_ms: None until it is known.
        channels: None until they are known.
        state: What is happening to it.
        job: Id of the job that transcribes it; empty for none.
        trouble: Code of the error that ended its job; empty for none.
        held: Whether retention must leave it alone.
        model: Which transcribes it; empty for the server's default.
        runs: How often it was begun again.
        text_sha256: Digest of its text as it is now.
        number: Grows with time.
        options: Of its transcription, such as the channels, as JSON.
        sound: What can be listened to: nothing yet, the original, or the copy made of it.
        peaks: Whether the peaks of its samples are there.
    """

    id: str
    folder: int
    owner: str
    title: str
    created_s: float
    audio_sha256: str
    bytes: int
    duration_ms: int | None
    channels: int | None
    state: State
    job: str
    trouble: str
    held: bool
    model: str
    runs: int
    text_sha256: str
    number: int
    options: str
    sound: Sound
    peaks: bool


class Library:
    """Recordings, texts and edits in one folder.

    Methods are safe from any thread. What a method returns was committed and is on the disk. What
    else is asked of the tables stands in modules beside this one, which take its `db`.

    Args:
        root: Holds `library.sqlite` and `files/`; made when it is not there.
        clock: Unix seconds.

    Raises:
        HostError: the file cannot be used; every method raises the same.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.db = Database(root / "library.sqlite", SCHEMA, SCHEMA_VERSION)
        self.files = Files(root / "files")

    def add(
        self,
        *,
        owner: str,
        title: str,
        folder: int = 1,
        bytes_: int = 0,
        options: Mapping[str, str] = NO_OPTIONS,
    ) -> Recording:
        """A new recording in the state `uploading`.

        Args:
            owner: The person that uploads it.
            title: What people call it.
            folder: Id of its folder.
            bytes_: Size of the original, as far as it is known.
            options: Of its transcription, by the names of asr-server's.

        Raises:
            InputError: `folder_unknown`.
        """
        identity = secrets.token_hex(10)
        with self.db.writing() as db:
            folders.find(db, folder)
            db.execute(
                "INSERT INTO recording (id, folder, owner, title, created_s, audio_sha256, bytes, "
                "state, job, trouble, held, model, runs, text_sha256, options, sound, peaks) "
                "VALUES (?, ?, ?, ?, ?, '', ?, 'uploading', '', '', 0, ?, 0, '', ?, 'none', 0)",
                (
                    identity,
                    folder,
                    owner,
                    _title(title),
                    self._clock(),
                    bytes_,
                    options.get("model", ""),
                    _as_json(options),
                ),
            )
            return _read(db, identity)

    def read(self, identity: str) -> Recording:
        """One recording.

        Raises:
            InputError: `recording_unknown`.
        """
        with self.db.reading() as db:
            return _read(db, identity)

    def page(
        self,
        folders: Sequence[int],
        *,
        before: int = 0,
        limit: int = 50,
        state: State | None = None,
    ) -> list[Recording]:
        """Recordings of some folders, the newest first, with numbers below `before` (0: all)."""
        if not folders:
            return []
        places = ", ".join("?" * len(folders))
        query = f"SELECT {_FIELDS} FROM recording r WHERE folder IN ({places})"  # noqa: S608
        values: list[object] = [*folders]
        if before:
            query, values = f"{query} AND number < ?", [*values, before]
        if state is not None:
            query, values = f"{query} AND state = ?", [*values, state]
        with self.db.reading() as db:
            rows = db.execute(f"{query} ORDER BY number DESC LIMIT ?", (*values, limit))
            return [_recording(row) for row in rows]

    def arrived(self, identity: str, source: Path, *, sha256: str, bytes_: int) -> Recording:
        """The original is there: move it into the library."""
        self.files.take(identity, source)
        return self._update(
            identity, "state = 'queued', audio_sha256 = ?, bytes = ?", sha256, bytes_
        )

    def sized(self, identity: str, bytes_: int) -> Recording:
        """The size of the original is known now."""
        return self._update(identity, "bytes = ?", bytes_)

    def decoded(self, identity: str, sound: Sound, *, peaks: bool, **known: int) -> Recording:
        """Note what can be listened to; `duration_ms` and `channels` where they are known."""
        what = "sound = ?, peaks = ?" + "".join(f", {name} = ?" for name in known)
        return self._update(identity, what, sound, int(peaks), *known.values())

    def mute(self, identity: str) -> Recording:
        """Delete its sound; its text stays."""
        self.files.remove(identity)
        return self._update(identity, "sound = 'none', peaks = 0")

    def move(self, identity: str, folder: int) -> Recording:
        """Put it into another folder.

        Raises:
            InputError: `recording_unknown`, `folder_unknown`.
        """
        with self.db.writing() as db:
            _read(db, identity)
            folders.find(db, folder)
            db.execute("UPDATE recording SET folder = ? WHERE id = ?", (folder, identity))
            return _read(db, identity)

    def queued(self, identity: str, job: str) -> Recording:
        """The recording waits for job `job`."""
        return self._update(identity, "state = 'queued', job = ?, trouble = ''", job)

    def again(self, identity: str, options: Mapping[str, str] | None = None) -> Recording:
        """Transcribe it once more, with other options where they are named; edits stay."""
        what = "state = 'queued', job = '', trouble = '', runs = runs + 1"
        if options is None:
            return self._update(identity, what)
        model = options.get("model", "")
        return self._update(identity, f"{what}, model = ?, options = ?", model, _as_json(options))

    def running(self, identity: str) -> Recording:
        """Its job has begun."""
        return self._update(identity, "state = 'running'")

    def failed(self, identity: str, code: str) -> Recording:
        """Its job ended with an error; the text of an earlier one stays."""
        what = "state = CASE WHEN text_sha256 = '' THEN 'failed' ELSE 'done' END, trouble = ?"
        return self._update(identity, what, code)

    def rename(self, identity: str, title: str) -> Recording:
        """Give it another title."""
        return self._update(identity, "title = ?", _title(title))

    def hold(self, identity: str, *, held: bool) -> Recording:
        """Protect it from retention, or no longer."""
        return self._update(identity, "held = ?", int(held))

    def transcribed(self, identity: str, result: bytes, *, job: str = "") -> Recording:
        """Store what a machine made of it; see `glagol.gateway.library.machine.insert`.

        A job's text that is there already is not stored again.

        Raises:
            InputError: `recording_unknown`, `import_invalid`.
        """
        with self.db.writing() as db:
            number = _read(db, identity).number
            there = db.execute(
                "SELECT 1 FROM machine WHERE recording = ? AND job = ? AND job <> ''",
                (number, job),
            ).fetchone()
            if there is None:
                machine.insert(db, number, result, job=job, made_s=self._clock())
            return _read(db, identity)

    def text(self, identity: str) -> tuple[Document, int]:
        """The current text, and the number of its last edit.

        Raises:
            InputError: `recording_unknown`.
        """
        with self.db.writing() as db:  # both of one moment
            number = _read(db, identity).number
            last = db.execute(
                "SELECT coalesce(max(number), 0) FROM edit WHERE recording = ?", (number,)
            ).fetchone()[0]
            return texts.document(db, number), int(last)

    def original(self, identity: str, number: int = 1) -> tuple[Document, str]:
        """What a machine wrote before any edit, and the digest of its JSON.

        Raises:
            InputError: `recording_unknown`.
            IntegrityError: `edits_altered`.
        """
        with self.db.reading() as db:
            result, sha256 = machine.latest(db, _read(db, identity).number, number)
        return machine.to_document(machine.read(result)), sha256

    def edit(self, identity: str, operation: Operation, *, person: str, seen: int) -> Edit:
        """Apply an operation; see `glagol.gateway.library.history.append`.

        Raises:
            InputError: `recording_unknown`, `edit_conflict`, `edit_invalid`.
        """
        with self.db.writing() as db:
            key = (_read(db, identity).number, identity)
            return history.append(
                db, key, operation, person=person, made_s=self._clock(), seen=seen
            )

    def undo(self, identity: str, number: int, *, person: str) -> Edit:
        """Take an edit back; see `glagol.gateway.library.history.undo`.

        Raises:
            InputError: `recording_unknown`, `edit_conflict`, `edit_invalid`.
        """
        with self.db.writing() as db:
            key = (_read(db, identity).number, identity)
            return history.undo(db, key, number, person=person, made_s=self._clock())

    def edits(self, identity: str, after: int = 0) -> list[Edit]:
        """The edits with numbers above `after`.

        Raises:
            InputError: `recording_unknown`.
        """
        with self.db.reading() as db:
            return history.edits(db, (_read(db, identity).number, identity), after)

    def verify(self, identity: str) -> None:
        """Prove that the text is the machine's first text and all edits, and nothing else.

        Raises:
            InputError: `recording_unknown`.
            IntegrityError: `edits_altered`.
        """
        original, _ = self.original(identity)
        with self.db.writing() as db:
            history.verify(db, (_read(db, identity).number, identity), original)

    def search(self, query: str, folders: Sequence[int], *, limit: int = 20) -> Hits:
        """Find words in the recordings of some folders."""
        with self.db.reading() as db:
            return searching.search(db, query, folders, limit=limit)

    def delete(self, identity: str, *, who: str, why: str) -> Receipt:
        """Delete a recording for real; see `glagol.gateway.library.deletion.delete`.

        Raises:
            InputError: `recording_unknown`.
        """
        with self.db.writing() as db:
            found = _read(db, identity)
            receipt = deletion.delete(
                db, (found.number, identity), who=who, why=why, at_s=self._clock()
            )
        self.files.remove(identity)
        with self.db.reading() as db:
            deletion.scrub(db)
        return receipt

    def finish_deletions(self) -> list[str]:
        """Remove files without a row: a deletion, or an arrival, that a crash interrupted.

        Returns:
            The ids; call it when nothing is being added.
        """
        with self.db.reading() as db:
            kept = {identity for (identity,) in db.execute("SELECT id FROM recording")}
            deletion.scrub(db)
        lost = sorted(self.files.known() - kept)
        for identity in lost:
            self.files.remove(identity)
        return lost

    def close(self) -> None:
        """Close the connections; no call may follow."""
        self.db.close()

    def _update(self, identity: str, what: str, *values: object) -> Recording:
        with self.db.writing() as db:
            _read(db, identity)
            query = f"UPDATE recording SET {what} WHERE id = ?"  # noqa: S608 - constants
            db.execute(query, (*values, identity))
            return _read(db, identity)


def _read(db: sqlite3.Connection, identity: str) -> Recording:
    row = db.execute(
        f"SELECT {_FIELDS} FROM recording r WHERE id = ?",  # noqa: S608 - a constant
        (identity,),
    ).fetchone()
    if row is None:
        raise InputError(
            "recording_unknown", "there is no such recording", "see the list of recordings"
        )
    return _recording(row)


def _recording(row: Sequence[object]) -> Recording:
    return msgspec.convert(
        dict(zip(Recording.__struct_fields__, row, strict=True)), Recording, strict=False
    )


def _as_json(options: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(options), order="sorted").decode()


def _title(title: str) -> str:
    """A title that a page can show: one line, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in title).split())[:TITLE_MAX]
