"""The edits of a recording: a chain of hashes over what people did.

Each edit names the digest of the text before and after it and the hash of the edit before, so an
edit that was altered, removed or put in is found by `verify`. The form of a link is that of the
audit log: the hash of one canonical JSON object that holds the previous hash.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.core.errors import InputError, IntegrityError
from glagol.gateway.library import machine, operations, texts
from glagol.gateway.library.document import Document, Segment, digest, segment_digest
from glagol.gateway.library.operations import Adopt, Operation, Restore, Split

if TYPE_CHECKING:
    import sqlite3

__all__ = ["START", "Edit", "append", "changed", "edits", "touched", "undo", "undoes", "verify"]

START: Final = "0" * 64
"""What the first edit has as the hash before it."""

_OPERATION: Final = msgspec.json.Decoder(Operation)
_RESTORE: Final = msgspec.json.Decoder(Restore)


class Edit(msgspec.Struct, frozen=True):
    """One edit.

    Attributes:
        recording: Its id.
        number: From 1 on, without gaps.
        made_s: When, Unix seconds.
        person: The editor.
        operation: What.
        before_sha256: Digest of the text before it.
        after_sha256: Digest of the text after it.
        previous: Hash of the edit before it; `START` for the first.
    """

    recording: str
    number: int
    made_s: float
    person: str
    operation: Operation
    before_sha256: str
    after_sha256: str
    previous: str

    @property
    def hash(self) -> str:
        """SHA-256 of the edit as JSON with sorted maps, hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def append(
    db: sqlite3.Connection,
    recording: tuple[int, str],
    operation: Operation,
    *,
    person: str,
    made_s: float,
    seen: int,
) -> Edit:
    """Apply an operation to the current text, and note it.

    Args:
        db: In a transaction.
        recording: Number and id.
        operation: What the person does.
        person: The editor.
        made_s: When, Unix seconds.
        seen: Number of the last edit that the person's page shows. Edits of other segments since
            then do not matter.

    Raises:
        InputError: `edit_conflict`, one of the segments was changed since; `edit_invalid`;
            `recording_unknown`, there is no such text of a machine.
        IntegrityError: `edits_altered`.
    """
    row, identity = recording
    last = db.execute(
        "SELECT number, hash, after_sha256 FROM edit WHERE recording = ? "
        "ORDER BY number DESC LIMIT 1",
        (row,),
    ).fetchone() or (0, START, "")
    if isinstance(operation, Split):
        operation = msgspec.structs.replace(operation, new=_next_id(db, row))
    elif isinstance(operation, Adopt):
        result, _ = machine.latest(db, row, operation.machine)
        operation = _whole(db, row, operation.machine, machine.to_document(machine.read(result)))
    ids = operations.touched(operation)
    segments = texts.some(db, row, ids)
    called = texts.names(db, row)
    if isinstance(operation, Restore):
        _refuse_overwriting(operation, segments, called)
    else:
        _refuse_conflict(db, row, ids, seen)
    change = operations.apply(operation, segments)
    number = last[0] + 1
    back = operations.inverse(number, change, segments, called)
    before = last[2] or texts.text_digest(db, row)
    texts.change(db, row, change, number)
    after = texts.text_digest(db, row)
    edit = Edit(identity, number, made_s, person, operation, before, after, last[1])
    _insert(db, row, edit, back)
    return edit


def undo(
    db: sqlite3.Connection, recording: tuple[int, str], number: int, *, person: str, made_s: float
) -> Edit:
    """Take edit `number` back by a new edit; also one that itself took another back.

    Raises:
        InputError: `edit_conflict`, a later edit changed the same; `edit_invalid`, there is none.
    """
    row = db.execute(
        "SELECT undo FROM edit WHERE recording = ? AND number = ?", (recording[0], number)
    ).fetchone()
    if row is None:
        raise InputError("edit_invalid", f"there is no edit {number}", "reload the page")
    back = _RESTORE.decode(row[0])
    return append(db, recording, back, person=person, made_s=made_s, seen=number)


def edits(db: sqlite3.Connection, recording: tuple[int, str], after: int = 0) -> list[Edit]:
    """The edits of a recording with numbers above `after`."""
    rows = db.execute(
        "SELECT number, made_s, person, operation, before_sha256, after_sha256, previous "
        "FROM edit WHERE recording = ? AND number > ? ORDER BY number",
        (recording[0], after),
    )
    return [
        Edit(recording[1], number, made_s, person, _OPERATION.decode(operation), *rest)
        for number, made_s, person, operation, *rest in rows
    ]


def changed(
    db: sqlite3.Connection, recording: int, after: int
) -> tuple[int, dict[int, Segment], tuple[int, ...]]:
    """What edits with numbers above `after` did, as it is now.

    Returns:
        The number of the last edit, the segments that they touched by id, and the ids of those
        that are gone.
    """
    rows = db.execute(
        "SELECT number, operation FROM edit WHERE recording = ? AND number > ? ORDER BY number",
        (recording, after),
    ).fetchall()
    ids: set[int] = set()
    for _, text in rows:
        operation = _OPERATION.decode(text)
        ids |= operations.touched(operation)
        if isinstance(operation, Split):
            ids.add(operation.new)
    there = texts.some(db, recording, sorted(ids))
    return rows[-1][0] if rows else after, there, tuple(sorted(ids - there.keys()))


def undoes(edit: Edit) -> int | None:
    """Number of the edit that this one takes back; None where it takes none back."""
    return edit.operation.edit if isinstance(edit.operation, Restore) else None


def touched(edit: Edit) -> frozenset[int]:
    """Ids of the segments that an edit reads or changes."""
    return operations.touched(edit.operation)


def verify(db: sqlite3.Connection, recording: tuple[int, str], original: Document) -> None:
    """Go through all edits from the machine's text on, and compare with what is stored.

    Args:
        db: Any connection.
        recording: Number and id.
        original: The text under the edits.

    Raises:
        IntegrityError: `edits_altered`; an edit, its place in the chain, or the current text is not
            what people made.
    """
    segments = original.by_id()
    digests = {number: segment_digest(segment) for number, segment in segments.items()}
    called = dict(original.names)
    previous, number = START, 0
    hashes = dict(
        db.execute("SELECT number, hash FROM edit WHERE recording = ?", (recording[0],)).fetchall()
    )
    for number, edit in enumerate(edits(db, recording), 1):
        before = digest(digests.items(), called)
        change = operations.apply(edit.operation, segments)
        for each in change.removed:
            del segments[each], digests[each]
        for segment in change.put:
            segments[segment.id], digests[segment.id] = segment, segment_digest(segment)
        called = {key: name for key, name in {**called, **change.names}.items() if name}
        expected = (number, previous, before, digest(digests.items(), called), edit.hash)
        found = (
            edit.number,
            edit.previous,
            edit.before_sha256,
            edit.after_sha256,
            hashes[edit.number],
        )
        if expected != found:
            _altered(recording[1], f"edit {edit.number} does not follow from the one before it")
        previous = edit.hash
    shown = texts.document(db, recording[0])
    if shown.by_id() != segments or shown.names != called:
        _altered(recording[1], f"the text is not that of its {number} edits")


def _insert(db: sqlite3.Connection, row: int, edit: Edit, back: Restore) -> None:
    operation, undo = (msgspec.json.encode(each).decode() for each in (edit.operation, back))
    digests = (edit.before_sha256, edit.after_sha256, edit.previous, edit.hash)
    db.execute(
        "INSERT INTO edit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row, edit.number, edit.made_s, edit.person, operation, undo, *digests),
    )
    db.execute("UPDATE recording SET text_sha256 = ? WHERE number = ?", (edit.after_sha256, row))


def _next_id(db: sqlite3.Connection, recording: int) -> int:
    """A number that no segment of the recording has or ever had."""
    highest: int = db.execute(
        "SELECT coalesce(max(id), 0) FROM segment WHERE recording = ?", (recording,)
    ).fetchone()[0]
    used = db.execute(
        "SELECT max(coalesce(max(json_extract(operation, '$.new')), 0), "
        "coalesce(max(json_extract(operation, '$.last')), 0)) FROM edit "
        "WHERE recording = ? AND json_extract(operation, '$.op') IN ('split', 'adopt')",
        (recording,),
    ).fetchone()[0]
    return max(highest, int(used)) + 1


def _whole(db: sqlite3.Connection, recording: int, machine: int, text: Document) -> Adopt:
    """What takes a machine's text; speakers that were found by voice are others there."""
    first = _next_id(db, recording)
    segments = tuple(
        msgspec.structs.replace(each, id=number) for number, each in enumerate(text.segments, first)
    )
    shown = texts.document(db, recording)
    mute = {key: "" for key in shown.names if not key.startswith("ch")}
    removed = tuple(each.id for each in shown.segments)
    return Adopt(machine, segments, removed, mute, first + len(segments) - 1)


def _refuse_conflict(
    db: sqlite3.Connection, recording: int, ids: frozenset[int], seen: int
) -> None:
    for number in sorted(ids):
        row = db.execute(
            "SELECT edited FROM segment WHERE recording = ? AND id = ?", (recording, number)
        ).fetchone()
        if row is not None and row[0] > seen:
            person = db.execute(
                "SELECT person FROM edit WHERE recording = ? AND number = ?", (recording, row[0])
            ).fetchone()
            raise InputError(
                "edit_conflict",
                f"segment {number} was changed by {person[0] if person else 'another'} meanwhile",
                "compare both texts and choose one",
            )


def _refuse_overwriting(
    operation: Restore, segments: dict[int, Segment], called: dict[str, str]
) -> None:
    """What is taken back must still be as the edit left it."""
    found = {number: segment_digest(segments[number]) for number in segments}
    same = all(found.get(number) == sha256 for number, sha256 in operation.expects)
    names = operation.expects_names.items()
    if not same or any(called.get(key, "") != name for key, name in names):
        raise InputError(
            "edit_conflict",
            f"what edit {operation.edit} changed was changed again since",
            "take the later edit back first, or correct the text",
        )


def _altered(recording: str, what: str) -> None:
    raise IntegrityError(
        "edits_altered",
        f"the edits of recording {recording} were altered: {what}",
        "restore the library from a backup; export what the page shows first",
    )
