"""Routes of recordings: the list, one, changing, deleting and transcribing it again."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.gateway.http import views
from glagol.gateway.http.answers import answer, body_of, choice_of, integer_of
from glagol.gateway.http.request import (
    GatewayRequest,
    editable,
    folders_of,
    on_disk,
    person_of,
    service_of,
)
from glagol.gateway.work.options import of_words

__all__ = ["HANDLERS"]

_PATH: Final = "/ui/recordings/{identity:str}"
_STATES: Final = ("", "open", "uploading", "queued", "running", "done", "failed")
_LIMIT_MAX: Final = 500
_NUMBER_MAX: Final = 1 << 53
_WHY_MAX: Final = 300


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str | None = None
    folder: int | None = None
    held: bool | None = None


@get("/ui/recordings", include_in_schema=False)
async def every(request: GatewayRequest) -> Response[bytes]:
    """A page of the list, the newest first."""
    state = choice_of(request, "state", "", *_STATES)
    shown = await on_disk(
        request,
        views.recordings,
        service_of(request),
        await folders_of(request),
        before=integer_of(request, "before", 0, 0, _NUMBER_MAX),
        limit=integer_of(request, "limit", 50, 1, _LIMIT_MAX),
        state=state,
        folder=integer_of(request, "folder", 0, 0, _NUMBER_MAX),
    )
    return await answer(request, shown)


@get(_PATH, include_in_schema=False)
async def one(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """One recording.

    Raises:
        InputError: `recording_unknown`.
    """
    service, allowed = service_of(request), await folders_of(request)
    return await answer(
        request, await on_disk(request, views.recording, service, identity, allowed)
    )


@patch(_PATH, include_in_schema=False)
async def change(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Give it another title or folder, or protect it from retention.

    Raises:
        InputError: `recording_unknown`, `folder_unknown`, `forbidden`, `request_invalid`.
    """
    asked = await body_of(request, _Change)
    await editable(request, identity)
    library = service_of(request).library
    if asked.folder is not None:
        if asked.folder not in await folders_of(request, edit=True):
            raise InputError("folder_unknown", "there is no such folder", "choose one of the list")
        await on_disk(request, library.move, identity, asked.folder)
    if asked.title is not None:
        await on_disk(request, library.rename, identity, asked.title)
    if asked.held is not None:
        await on_disk(request, library.hold, identity, held=asked.held)
    return await _answer_changed(request, identity)


@delete(_PATH, status_code=200, include_in_schema=False)
async def remove(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Delete the recording for real; the receipt.

    Raises:
        InputError: `recording_unknown`, `forbidden`.
        HostError: `upstream_unreachable`, its job could not be forgotten; nothing was deleted.
    """
    service = service_of(request)
    found = await editable(request, identity)
    why = str(request.query_params.get("why", ""))[:_WHY_MAX]
    await service.transcriber.forget(found)
    await on_disk(request, service.uploads.drop, identity)
    who = person_of(request)
    receipt = await on_disk(request, service.library.delete, identity, who=who, why=why)
    service.events.removed(identity)
    return await answer(request, receipt)


@post(_PATH + "/again", status_code=200, include_in_schema=False)
async def again(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Transcribe it once more, with other options; its edits stay.

    Raises:
        InputError: `recording_unknown`, `forbidden`, `recording_state`, `option_invalid`.
    """
    service = service_of(request)
    asked = of_words(await body_of(request, dict[str, str]) if await request.body() else {})
    found = await editable(request, identity)
    if found.state in {"uploading", "queued", "running"} or not found.audio_sha256:
        raise InputError(
            "recording_state",
            "this recording is in work, or has no sound",
            "wait until it is done, or cancel it first",
        )
    await on_disk(request, service.library.again, identity, asked.asked())
    return await _answer_changed(request, identity)


@post(_PATH + "/cancel", status_code=200, include_in_schema=False)
async def cancel(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Stop its transcription.

    Raises:
        InputError: `recording_unknown`, `forbidden`, `recording_state`.
        HostError: `upstream_unreachable`.
    """
    service = service_of(request)
    found = await editable(request, identity)
    if found.state not in {"queued", "running"}:
        raise InputError("recording_state", "this recording is not in work", "reload the page")
    await service.transcriber.cancel(found)
    return await _answer_changed(request, identity)


async def _answer_changed(request: GatewayRequest, identity: str) -> Response[bytes]:
    """The recording as it is now, also for other pages."""
    service = service_of(request)
    service.events.recording(identity)
    found = await on_disk(request, service.library.read, identity)
    return await answer(request, await on_disk(request, views.view, service, found))


HANDLERS: Final = [every, one, change, remove, again, cancel]
