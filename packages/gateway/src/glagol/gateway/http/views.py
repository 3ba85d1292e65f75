"""What pages are shown, as values: the same for templates and for JSON."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import msgspec

from glagol.core.hosts import is_loopback
from glagol.core.version import VERSION
from glagol.gateway.http.request import (
    caller,
    folders_of,
    on_disk,
    person_of,
    readable,
    service_of,
)
from glagol.gateway.http.text_views import (
    EditsView,
    EditView,
    HitsView,
    SourceView,
    edits,
    hits,
    source,
    text,
)
from glagol.gateway.library import overview
from glagol.gateway.routing.table import SERVICES
from glagol.gateway.work.services import Standing
from glagol.gateway.work.uploads import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.connection import ASGIConnection

    from glagol.gateway.library.library import Recording, State
    from glagol.gateway.service import Service

__all__ = [
    "PIECE_BYTES",
    "EditView",
    "EditsView",
    "HitsView",
    "ListView",
    "RecordingView",
    "SourceView",
    "StateView",
    "edits",
    "hits",
    "recording",
    "recordings",
    "source",
    "state",
    "text",
    "view",
]

PIECE_BYTES: Final = 4 << 20
"""Of an upload in one request."""

_OPEN: Final = ("uploading", "queued", "running")
_MANY: Final = 1000


class ProgressView(msgspec.Struct, frozen=True):
    """How far the transcription of a recording is."""

    done_s: float
    total_s: float | None
    ahead: int | None
    eta_s: float | None
    attempt: int


class RecordingView(msgspec.Struct, frozen=True):
    """A recording in a list; see `Recording` and `About`."""

    id: str
    number: int
    title: str
    folder: int
    owner: str
    created_s: float
    bytes: int | None
    uploaded_bytes: int
    audio_sha256: str
    duration_ms: int | None
    channels: int | None
    state: State
    trouble: str
    held: bool
    model: str
    made_by: str
    runs: int
    text_sha256: str
    edits: int
    snippet: str
    expires_s: float | None
    sound: str
    peaks: bool
    warnings: tuple[str, ...]
    progress: ProgressView | None
    texts: int
    latest: str
    shown: int


class ListView(msgspec.Struct, frozen=True):
    """A page of a list; `next` is where the next one begins."""

    recordings: list[RecordingView]
    more: bool
    next: int | None


class LimitsView(msgspec.Struct, frozen=True):
    """What an upload may be."""

    upload_bytes: int
    piece_bytes: int


class DiskView(msgspec.Struct, frozen=True):
    """Room on the library's disk."""

    free_bytes: int
    total_bytes: int


class StateView(msgspec.Struct, frozen=True):
    """What every page needs to know of the server."""

    version: str
    person: str
    signin: str
    admin: bool
    services: dict[str, Standing]
    limits: LimitsView
    disk: DiskView
    open: int
    secure: bool


async def state(request: ASGIConnection[Any, Any, Any, Any]) -> StateView:
    """What every page needs to know of the server."""
    service = service_of(request)
    usage = await on_disk(request, shutil.disk_usage, service.library.db.path.parent)
    name = request.headers.get("host", "").rsplit(":", 1)[0]
    encrypted = request.headers.get("x-forwarded-proto", request.scope["scheme"]) == "https"
    return StateView(
        VERSION,
        person_of(request),
        service.door.signin(),
        caller(request).admin,
        {each: service.services.standing(each) for each in SERVICES},
        LimitsView(service.uploads.bytes_max, PIECE_BYTES),
        DiskView(usage.free, usage.total),
        await on_disk(request, overview.in_work, service.library.db, await folders_of(request)),
        encrypted or is_loopback(name),
    )


def recordings(
    service: Service,
    allowed: Sequence[int],
    before: int = 0,
    limit: int = 50,
    state: str = "",
    folder: int = 0,
) -> ListView:
    """A page of the recordings of the folders `allowed`.

    Args:
        service: What the handlers share.
        allowed: Folders that the person may read.
        before: `next` of the page before; 0 for the first.
        limit: Recordings at most.
        state: Only these; `open` means those that are in work, empty all.
        folder: Only of this one; 0 for all.
    """
    wanted = [each for each in allowed if folder in {0, each}]
    library = service.library
    if state == "open":
        found = [each for one in _OPEN for each in library.page(wanted, state=one, limit=_MANY)]
        found.sort(key=lambda each: -each.number)
        found = [each for each in found if not before or each.number < before][: limit + 1]
    else:
        one = state or None
        found = library.page(
            wanted,
            before=before,
            limit=limit + 1,
            state=one,  # type: ignore[arg-type]
        )
    more, found = len(found) > limit, found[:limit]
    return ListView(_views(service, found), more, found[-1].number if more else None)


def recording(service: Service, identity: str, allowed: Sequence[int]) -> RecordingView:
    """One recording.

    Raises:
        InputError: `recording_unknown`.
    """
    return view(service, readable(service, identity, allowed))


def view(service: Service, found: Recording) -> RecordingView:
    """A recording as pages see it."""
    return _views(service, [found])[0]


def _views(service: Service, found: Sequence[Recording]) -> list[RecordingView]:
    arriving = {}
    if any(each.state == "uploading" for each in found):
        arriving = service.uploads.sizes()
    more = overview.about(service.library.db, found)
    return [_view(service, *pair, arriving) for pair in zip(found, more, strict=True)]


def _view(
    service: Service, row: Recording, about: overview.About, arriving: dict[str, int]
) -> RecordingView:
    uploading = row.state == "uploading"
    return RecordingView(
        row.id,
        row.number,
        row.title,
        row.folder,
        row.owner,
        row.created_s,
        None if row.bytes == UNKNOWN else row.bytes,
        arriving.get(row.id, 0) if uploading else row.bytes,
        row.audio_sha256,
        row.duration_ms,
        row.channels,
        row.state,
        row.trouble,
        row.held,
        row.model,
        about.made_by,
        row.runs,
        row.text_sha256,
        about.edits,
        about.snippet,
        about.expires_s,
        row.sound,
        row.peaks,
        about.warnings,
        _progress(service, row),
        about.texts,
        about.latest,
        about.shown,
    )


def _progress(service: Service, row: Recording) -> ProgressView | None:
    job = service.transcriber.progress(row.id) if row.state in {"queued", "running"} else None
    if job is None:
        return None
    done = job.progress
    return ProgressView(done.done_s, done.total_s, job.ahead, job.eta_s, job.attempt)
