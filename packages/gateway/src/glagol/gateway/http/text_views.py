"""What pages are shown of texts: columns, history, source, what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from glagol.core.errors import IntegrityError
from glagol.gateway.http.request import readable
from glagol.gateway.library import history, operations, overview
from glagol.gateway.text.columns import TextView, of_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.gateway.library.search import Hit
    from glagol.gateway.service import Service

__all__ = [
    "EditView",
    "EditsView",
    "FoundRecording",
    "FoundView",
    "HitsView",
    "SourceView",
    "edits",
    "hits",
    "source",
    "text",
]


class FoundView(msgspec.Struct, frozen=True):
    """A segment that was found; `marks` are the numbers of its words that fit."""

    segment: int
    start_ms: int
    text: str
    marks: tuple[int, ...]


class FoundRecording(msgspec.Struct, frozen=True):
    """A recording with what was found in it."""

    id: str
    title: str
    created_s: float
    duration_ms: int | None
    hits: list[FoundView]


class HitsView(msgspec.Struct, frozen=True):
    """What a search found."""

    query: str
    recordings: list[FoundRecording]
    more: bool


class EditView(msgspec.Struct, frozen=True):
    """An edit in the history; `undoes` and `undone_by` are numbers of edits."""

    number: int
    made_s: float
    person: str
    kind: str
    segments: tuple[int, ...]
    operation: Any
    undoes: int | None
    undone_by: int | None
    after_sha256: str
    hash: str


class EditsView(msgspec.Struct, frozen=True):
    """The history of a recording."""

    edits: list[EditView]


class SourceView(msgspec.Struct, frozen=True):
    """Which bytes made a text, and whether its edits are whole."""

    audio_sha256: str
    bytes: int
    machine: list[overview.Made]
    shown: int
    edits: int
    last_hash: str
    verified: bool


def text(service: Service, identity: str, allowed: Sequence[int], original: int = 0) -> TextView:
    """The text of a recording, or what a machine wrote before any edit.

    Args:
        service: What the handlers share.
        identity: Of the recording.
        allowed: Folders that the person may read.
        original: Number of the machine's text; 0 for the text as it is now.

    Raises:
        InputError: `recording_unknown`, also where there is no such text yet.
    """
    found = readable(service, identity, allowed)
    made = overview.languages(service.library.db, found)
    if original:
        document, sha256 = service.library.original(identity, original)
        edit = 0
    else:
        (document, edit), sha256 = service.library.text(identity), found.text_sha256
    return of_document(document, edit, sha256, found.duration_ms, made.get(original or 1, ""))


def hits(
    service: Service, query: str, allowed: Sequence[int], limit: int = 20, folder: int = 0
) -> HitsView:
    """What a search finds in the folders `allowed`."""
    wanted = [each for each in allowed if folder in {0, each}]
    found = service.library.search(query, wanted, limit=limit)
    by_recording: dict[str, list[Hit]] = {}
    for hit in found.hits:
        by_recording.setdefault(hit.recording, []).append(hit)
    shown = []
    for identity, some in by_recording.items():
        row = service.library.read(identity)
        parts = [FoundView(hit.segment, hit.start_ms, hit.text, hit.marks) for hit in some]
        shown.append(FoundRecording(identity, row.title, row.created_s, row.duration_ms, parts))
    return HitsView(query, shown, found.more)


def edits(service: Service, identity: str, allowed: Sequence[int], after: int = 0) -> EditsView:
    """The edits of a recording with numbers above `after`.

    Raises:
        InputError: `recording_unknown`.
    """
    readable(service, identity, allowed)
    made = service.library.edits(identity, after)
    undone = {of: each.number for each in made if (of := history.undoes(each)) is not None}
    return EditsView(
        [
            EditView(
                each.number,
                each.made_s,
                each.person,
                str(each.operation.__struct_config__.tag),
                tuple(sorted(history.touched(each))),
                _shown(each.operation),
                history.undoes(each),
                undone.get(each.number),
                each.after_sha256,
                each.hash,
            )
            for each in made
        ]
    )


def source(service: Service, identity: str, allowed: Sequence[int]) -> SourceView:
    """Which bytes made the text of a recording.

    Raises:
        InputError: `recording_unknown`.
    """
    found = readable(service, identity, allowed)
    made = overview.made(service.library.db, found)
    edited = service.library.edits(identity)
    verified = True
    if made:
        try:
            service.library.verify(identity)
        except IntegrityError:
            verified = False
    return SourceView(
        found.audio_sha256,
        found.bytes,
        made,
        overview.about(service.library.db, [found])[0].shown,
        len(edited),
        edited[-1].hash if edited else "",
        verified,
    )


def _shown(operation: operations.Operation) -> Any:
    """An operation without the segments that it puts back: an hour of text need not be sent."""
    if isinstance(operation, operations.Restore):
        return {"op": "restore", "edit": operation.edit}
    if isinstance(operation, operations.Adopt):
        return {"op": "adopt", "machine": operation.machine}
    return operation
