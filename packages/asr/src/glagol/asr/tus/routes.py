"""Resumable uploads by the tus protocol 1.0.0: creation, expiration, checksum, termination.

https://tus.io/protocols/resumable-upload says what each header means. A finished upload is used by
`POST /v1/transcribe?upload=ID`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, closing
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from litestar import delete, head, patch, post, route
from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response import Response

from glagol.asr.http.multipart import chunks
from glagol.asr.http.request import (
    AsrRequest,
    on_uploads,
    owner_of,
    service_of,
    sharer_of,
    uploads_of,
)
from glagol.asr.http.spool import BATCH_BYTES
from glagol.asr.tus.store import UploadInfo
from glagol.core.errors import GlagolError, HostError, InputError
from glagol.core.executors import call
from glagol.web import errors
from glagol.web.links import relative

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from glagol.asr.tus.store import Uploads, Writer

__all__ = ["HANDLERS"]

P = ParamSpec("P")
T = TypeVar("T")

VERSION: Final = "1.0.0"
BODY_TYPE: Final = "application/offset+octet-stream"
METADATA_MAX: Final = 4096
DIGITS_MAX: Final = 18  # of a signed 64-bit number
_HASHES: Final = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
_EXTENSIONS: Final = "creation,expiration,checksum,termination"
_ABOUT: Final = {
    "tus-version": VERSION,
    "tus-extension": _EXTENSIONS,
    "tus-checksum-algorithm": ",".join(_HASHES),
}
_RESPONSES: Final = errors.responses(
    {
        400: "A header is missing or wrong",
        404: "There is no such upload",
        409: "The offset is another one, or another request writes",
        412: "Tus-Resumable is not 1.0.0",
        413: "More than the limit, or than was announced",
        460: "The checksum does not match; nothing was kept",
        503: "No room now, or no place to keep uploads",
        507: "The disk is full",
    }
)


def _documented(status: int, description: str) -> dict[int, ResponseSpec]:
    """Errors, and a success whose answer is in its headers."""
    success = ResponseSpec(None, description=description, generate_examples=False)
    return {status: success, **_RESPONSES}


_PATH: Final = "/v1/uploads/{upload_id:str}"


@route(
    ["/v1/uploads", _PATH],
    http_method=[HttpMethod.OPTIONS],
    status_code=204,
    summary="What the server can do",
    include_in_schema=False,
    sync_to_thread=False,
)
def options(request: AsrRequest) -> Response[None]:
    """Versions, extensions and limits; the one request without Tus-Resumable."""
    limit = {"tus-max-size": str(service_of(request).settings.max_upload_bytes)}
    return _empty(204, {**_ABOUT, **limit})


@post(
    "/v1/uploads",
    status_code=201,
    summary="Begin a resumable upload",
    responses=_documented(201, "Location is where the bytes go"),
)
async def create(request: AsrRequest) -> Response[None]:
    """Upload-Length says how many bytes will come; Location says where they go."""

    async def made() -> Response[None]:
        length = _number(request, "upload-length")
        metadata = request.headers.get("upload-metadata", "")
        if len(metadata) > METADATA_MAX:
            raise _wrong("Upload-Metadata", f"it is longer than {METADATA_MAX} bytes")
        kept = uploads_of(request)
        note = UploadInfo(length, owner_of(request), metadata)
        # creations wait for the disk, so they may not take all of its threads
        with service_of(request).bodies.held(sharer_of(request)):
            upload_id = await on_uploads(request, kept.create, note, sharer_of(request))
        place = relative(f"/v1/uploads/{upload_id}", request.scope["path"])
        headers = {"location": place, **_expires(kept, upload_id)}
        return _empty(201, headers)

    return await _tus(request, made())


@head(
    _PATH,
    status_code=200,
    summary="How far an upload is",
    responses=_documented(200, "Upload-Offset bytes are there"),
)
async def offset(request: AsrRequest, upload_id: FromPath[str]) -> Response[None]:
    """Upload-Offset; a request that still writes is stopped first, so that it stays true."""

    async def looked() -> Response[None]:
        kept = uploads_of(request)
        await on_uploads(request, kept.look, upload_id, owner_of(request))
        await _stopped(kept, upload_id)
        note, size = await on_uploads(request, kept.look, upload_id, owner_of(request))
        headers = {"upload-offset": str(size), "upload-length": str(note.length)}
        if note.metadata:
            headers["upload-metadata"] = note.metadata
        return _empty(200, {**headers, **_expires(kept, upload_id)})

    return await _tus(request, looked())


@patch(
    _PATH,
    status_code=204,
    summary="Continue an upload",
    responses=_documented(204, "Upload-Offset bytes are there now"),
)
async def append(request: AsrRequest, upload_id: FromPath[str]) -> Response[None]:
    """The body goes to Upload-Offset; whatever arrives stays, however the request ends.

    Raises:
        HostError: `cancelled`, another request continues; it is answered like every error.
    """

    async def written() -> Response[None]:
        if request.headers.get("content-type", "").partition(";")[0].strip() != BODY_TYPE:
            raise _wrong("Content-Type", f"it is not {BODY_TYPE}")
        begin, kept = _number(request, "upload-offset"), uploads_of(request)
        await on_uploads(request, kept.look, upload_id, owner_of(request))
        await _stopped(kept, upload_id)
        task = asyncio.create_task(_held(request, _write(request, kept, upload_id, begin)))
        kept.writing[upload_id] = task
        try:
            size = await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise HostError(
                "cancelled", "another request continues this upload", "ask for the offset"
            ) from None
        finally:
            if kept.writing.get(upload_id) is task:
                del kept.writing[upload_id]
        return _empty(204, {"upload-offset": str(size), **_expires(kept, upload_id)})

    return await _tus(request, written())


@delete(
    _PATH, status_code=204, summary="Forget an upload", responses=_documented(204, "It is gone")
)
async def terminate(request: AsrRequest, upload_id: FromPath[str]) -> Response[None]:
    """Its bytes are removed."""

    async def dropped() -> Response[None]:
        kept = uploads_of(request)
        await on_uploads(request, kept.look, upload_id, owner_of(request))
        await _stopped(kept, upload_id)
        await on_uploads(request, kept.drop, upload_id)
        return _empty(204, {})

    return await _tus(request, dropped())


async def _held(request: AsrRequest, writing: Coroutine[Any, Any, int]) -> int:
    """What `writing` gives, as one of the bodies being received."""
    with closing(writing), service_of(request).bodies.held(sharer_of(request)):
        return await writing


async def _write(request: AsrRequest, kept: Uploads, upload_id: str, begin: int) -> int:
    """Append the body; how many bytes there are then."""
    check = _checksum(request)
    held = ExitStack()
    executor = service_of(request).executors.uploads
    right = kept.writer(upload_id, owner_of(request), begin, whole=check is not None)
    batch = bytearray()
    try:
        writer: Writer = await _ended(executor, held.enter_context, right)
        try:
            async for chunk in chunks(request.receive):
                batch += chunk
                if check is not None:
                    check[0].update(chunk)
                if len(batch) >= BATCH_BYTES:
                    full, batch = bytes(batch), bytearray()
                    await _ended(executor, writer.write, full)
        finally:
            if batch and check is None:  # what came of a body that broke off counts too
                await _ended(executor, writer.write, bytes(batch))
        if check is not None:
            if check[0].digest() != check[1]:
                raise InputError(
                    "upload_checksum", "the checksum does not match", "send these bytes again"
                )
            await _ended(executor, writer.write, bytes(batch))
            writer.confirm()
    finally:
        await _ended(executor, held.close)
    return writer.size


async def _ended(
    executor: Executor, function: Callable[P, T], *args: P.args, **options: P.kwargs
) -> T:
    """Run `function` in a thread; a cancellation is raised only after the function has ended.

    Otherwise its write could overlap with the next one.
    """
    work = asyncio.ensure_future(call(executor, function, *args, **options))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        work.exception()  # asked for, so that it counts as seen: the cancellation comes first
        raise cancelled
    return work.result()


async def _stopped(kept: Uploads, upload_id: str) -> None:
    """Stop the request that writes now: a client that returns has lost its old connection."""
    task = kept.writing.get(upload_id)
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def _tus(request: AsrRequest, answer: Awaitable[Response[None]]) -> Response[None]:
    """`answer`, or what went wrong, as the protocol wants every answer."""
    try:
        if request.headers.get("tus-resumable") != VERSION:
            getattr(answer, "close", lambda: None)()
            raise InputError(
                "upload_version",
                "the header Tus-Resumable is not 1.0.0",
                "send Tus-Resumable: 1.0.0 with every request but OPTIONS",
            )
        response = await answer
    except GlagolError as error:
        response = cast("Response[None]", errors.answer(request, error))
        if request.method == HttpMethod.HEAD:
            response = _empty(response.status_code or 500, response.headers)
        if error.code == "upload_version":
            response.headers["tus-version"] = VERSION
    response.headers["tus-resumable"] = VERSION
    return response


def _number(request: AsrRequest, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise _wrong(name.title(), "it is missing or no whole number")
    return int(text)


def _checksum(request: AsrRequest) -> tuple[Any, bytes] | None:
    """A fresh hash and what it has to become; None when the client gives no checksum."""
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    name, _, encoded = text.partition(" ")
    if name not in _HASHES:
        raise _wrong("Upload-Checksum", f"known are {', '.join(_HASHES)}")
    try:
        return _HASHES[name](), base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise _wrong("Upload-Checksum", "it is not base64") from None


def _wrong(header: str, reason: str) -> InputError:
    return InputError("request_invalid", f"{header}: {reason}", "see the tus protocol 1.0.0")


def _expires(kept: Uploads, upload_id: str) -> dict[str, str]:
    return {"upload-expires": formatdate(kept.expires_s(upload_id), usegmt=True)}


def _empty(status: int, headers: dict[str, str]) -> Response[None]:
    return Response(None, status_code=status, headers=headers)


HANDLERS: Final = [options, create, offset, append, terminate]
