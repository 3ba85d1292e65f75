"""How recordings arrive: in pieces by tus 1.0.0, in one body, or by a form without script.

Core protocol, creation, creation-defer-length and termination of
https://tus.io/protocols/resumable-upload; an upload's id is that of its recording.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from litestar import delete, head, patch, post, put
from litestar.datastructures import UploadFile
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError, LimitError
from glagol.core.executors import call
from glagol.gateway.http import views
from glagol.gateway.http.answers import BODY_MAX, answer
from glagol.gateway.http.request import (
    GatewayRequest,
    editable,
    folders_of,
    on_disk,
    person_of,
    service_of,
)
from glagol.gateway.library.folders import COMMON
from glagol.gateway.text import importing
from glagol.gateway.work.options import of_words
from glagol.gateway.work.uploads import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from glagol.gateway.library.library import Recording
    from glagol.gateway.work.uploads import Writer

__all__ = ["HANDLERS"]

VERSION: Final = "1.0.0"
BODY_TYPE: Final = "application/offset+octet-stream"
METADATA_MAX: Final = 4096
FILES_MAX: Final = 100
_BATCH: Final = 1 << 20
_DIGITS_MAX: Final = 18  # of a signed 64-bit number
_PATH: Final = "/ui/uploads/{identity:str}"
_TUS: Final = {"tus-resumable": VERSION}


@post("/ui/uploads", status_code=201, include_in_schema=False)
async def begin(request: GatewayRequest) -> Response[bytes]:
    """A recording that arrives in pieces; Location says where they go.

    Raises:
        InputError: `upload_version`, `request_invalid`, `folder_unknown`, `option_invalid`.
        LimitError: `upload_too_large`.
    """
    _spoken(request)
    length = UNKNOWN
    if request.headers.get("upload-defer-length") != "1":
        length = _number(request, "upload-length")
    words = _metadata(request.headers.get("upload-metadata", ""))
    made = await _begin(request, words, words.get("filename", ""), length)
    headers = {**_TUS, "location": f"/ui/uploads/{made.id}", "upload-offset": "0"}
    if length == 0:
        await _finish(request, made.id)
    return Response(b"", status_code=201, headers=headers)


@head(_PATH, include_in_schema=False)
async def offset(request: GatewayRequest, identity: FromPath[str]) -> Response[None]:
    """How far an upload is.

    Raises:
        InputError: `upload_unknown`, `upload_version`.
    """
    _spoken(request)
    found = await _arriving(request, identity)
    size = await on_disk(request, service_of(request).uploads.size, identity)
    headers = {**_TUS, "upload-offset": str(size)}
    if found.bytes == UNKNOWN:
        headers["upload-defer-length"] = "1"
    else:
        headers["upload-length"] = str(found.bytes)
    return Response(None, headers=headers)


@patch(_PATH, status_code=204, include_in_schema=False)
async def append(request: GatewayRequest, identity: FromPath[str]) -> Response[None]:
    """The next piece; what the answer counts is on the disk.

    Raises:
        InputError: `upload_unknown`, `upload_state`, `upload_version`, `request_invalid`.
        LimitError: `upload_too_large`.
        HostError: `disk_full`.
    """
    _spoken(request)
    if request.headers.get("content-type", "") != BODY_TYPE:
        raise _wrong("Content-Type", f"it is not {BODY_TYPE}")
    service = service_of(request)
    found = await _arriving(request, identity)
    at = _number(request, "upload-offset")
    if found.bytes == UNKNOWN and "upload-length" in request.headers:
        length = _number(request, "upload-length")
        await on_disk(request, service.uploads.sized, identity, length)
        found = await on_disk(request, service.library.read, identity)
    size = await _append(request, identity, at, request.stream())
    if size == found.bytes:
        await _finish(request, identity)
    else:
        service.events.recording(identity)
    return Response(None, status_code=204, headers={**_TUS, "upload-offset": str(size)})


@delete(_PATH, status_code=204, include_in_schema=False)
async def drop(request: GatewayRequest, identity: FromPath[str]) -> Response[None]:
    """Give an upload up; its recording is gone.

    Raises:
        InputError: `upload_unknown`, `upload_version`.
    """
    _spoken(request)
    service = service_of(request)
    await _arriving(request, identity)
    await on_disk(request, service.uploads.drop, identity)
    who = person_of(request)
    await on_disk(request, service.library.delete, identity, who=who, why="upload given up")
    service.events.removed(identity)
    return Response(None, status_code=204, headers=_TUS)


@put("/ui/recordings", status_code=201, include_in_schema=False, request_max_body_size=None)
async def whole(request: GatewayRequest) -> Response[bytes]:
    """A recording in one body; title, folder and options are in the query.

    Raises:
        InputError: `folder_unknown`, `option_invalid`.
        LimitError: `upload_too_large`.
        HostError: `disk_full`.
    """
    words = {name: str(value) for name, value in request.query_params.items()}
    length = UNKNOWN
    if "content-length" in request.headers:
        length = _number(request, "content-length")
    made = await _begin(request, words, words.get("title", ""), length)
    await _take(request, made.id, request.stream())
    service = service_of(request)
    found = await on_disk(request, service.library.read, made.id)
    return await answer(request, await on_disk(request, views.view, service, found), 201)


@post("/ui/recordings", status_code=303, include_in_schema=False, request_max_body_size=None)
async def form(request: GatewayRequest) -> Response[None]:
    """Recordings from a form, for browsers without script; back to the first page.

    Raises:
        InputError: `folder_unknown`, `option_invalid`, `request_invalid`.
        LimitError: `upload_too_large`.
        HostError: `disk_full`.
    """
    room = service_of(request).uploads.bytes_max + BODY_MAX  # the fields beside the files
    if _number(request, "content-length") > room:
        raise LimitError(
            "upload_too_large", f"the form holds more than {room} bytes", "send fewer files at once"
        )
    sent = await request.form()
    words = {name: value for name, value in sent.items() if isinstance(value, str)}
    files = [each for each in sent.getall("file", []) if isinstance(each, UploadFile)]
    if not files or len(files) > FILES_MAX:
        raise InputError(
            "request_invalid", f"the form has {len(files)} files", f"choose 1..{FILES_MAX} files"
        )
    for each in files:
        made = await _begin(request, words, each.filename, UNKNOWN)
        await _take(request, made.id, _pieces(each))
        await each.close()
    return Response(None, status_code=303, headers={"location": "/"})


@put("/ui/imports", status_code=201, include_in_schema=False)
async def imported(request: GatewayRequest) -> Response[bytes]:
    """A text that was made elsewhere, as srt or as our JSON; a recording without sound.

    Raises:
        InputError: `import_invalid`, `folder_unknown`, `recording_unknown`, `forbidden`.
    """
    service = service_of(request)
    words = {name: str(value) for name, value in request.query_params.items()}
    body = await request.body()
    if len(body) > BODY_MAX:
        raise InputError("import_invalid", "the text is larger than 8 MiB", "split it")
    result = await on_disk(request, importing.result_of, body)
    if identity := words.get("recording", ""):
        await editable(request, identity)
    else:
        made = await _begin(request, words, words.get("title", ""), 0)
        identity = made.id
        await on_disk(request, service.uploads.drop, identity)
    found = await on_disk(request, service.library.transcribed, identity, result)
    service.events.recording(identity)
    return await answer(request, await on_disk(request, views.view, service, found), 201)


async def _begin(
    request: GatewayRequest, words: Mapping[str, str], title: str, length: int
) -> Recording:
    service = service_of(request)
    folder = words.get("folder", "")
    number = int(folder) if folder.isascii() and folder.isdigit() else COMMON
    if number not in await folders_of(request, edit=True):
        raise InputError("folder_unknown", "there is no such folder", "choose one of the list")
    made = await on_disk(
        request,
        service.uploads.begin,
        owner=person_of(request),
        title=title,
        folder=number,
        length=length,
        options=of_words(words).asked(),
    )
    service.events.recording(made.id)
    return made


async def _arriving(request: GatewayRequest, identity: str) -> Recording:
    found = await editable(request, identity)
    if found.state != "uploading":
        raise InputError("upload_unknown", "this recording has arrived", "reload the list")
    return found


async def _append(
    request: GatewayRequest, identity: str, at: int, stream: AsyncIterator[bytes]
) -> int:
    """Write what comes; the size afterwards. What had come before the client left stays."""
    service = service_of(request)
    executor = service.executors.uploads
    held = service.uploads.writing(identity, at)
    writer: Writer = await call(executor, held.__enter__)
    try:
        batch: list[bytes] = []
        size = 0
        async for piece in stream:
            batch.append(piece)
            size += len(piece)
            if size >= _BATCH:
                await call(executor, writer.write, b"".join(batch))
                batch, size = [], 0
        if batch:
            await call(executor, writer.write, b"".join(batch))
        await call(executor, writer.sync)
        return writer.size
    finally:
        await asyncio.shield(call(executor, held.__exit__, None, None, None))


async def _take(request: GatewayRequest, identity: str, stream: AsyncIterator[bytes]) -> None:
    """A whole recording; nothing of it stays when it does not arrive whole."""
    service = service_of(request)
    try:
        await _append(request, identity, 0, stream)
        await _finish(request, identity)
    except BaseException:
        await asyncio.shield(call(service.executors.uploads, _undo, service, identity))
        service.events.removed(identity)
        raise


def _undo(service: Any, identity: str) -> None:
    service.uploads.drop(identity)
    service.library.delete(identity, who="", why="it did not arrive whole")


async def _finish(request: GatewayRequest, identity: str) -> None:
    service = service_of(request)
    await call(service.executors.uploads, service.uploads.finish, identity)
    service.events.recording(identity)


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_BATCH):
        yield piece


def _spoken(request: GatewayRequest) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise InputError(
            "upload_version",
            "the request does not speak tus 1.0.0",
            f"send the header Tus-Resumable: {VERSION}",
        )


def _number(request: GatewayRequest, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
        raise _wrong(name, "it is no whole number")
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """Upload-Metadata: pairs of a name and its value in base64, between commas."""
    if len(text) > METADATA_MAX:
        raise _wrong("Upload-Metadata", f"it is longer than {METADATA_MAX} bytes")
    found = {}
    for pair in filter(None, text.split(",")):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _wrong("Upload-Metadata", f"{name[:40]!r} is not UTF-8 in base64") from None
    return found


def _wrong(name: str, why: str) -> InputError:
    return InputError("request_invalid", f"the header {name} is wrong: {why}", "see tus 1.0.0")


HANDLERS: Final = [begin, offset, append, drop, whole, form, imported]
