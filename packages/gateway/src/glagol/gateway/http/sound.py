"""Sound and peaks by ranges of bytes (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from litestar import route
from litestar.enums import HttpMethod
from litestar.params import FromPath
from litestar.response import Response, Stream

from glagol.core.errors import InputError
from glagol.core.executors import call
from glagol.core.files import host_error
from glagol.gateway.http.request import (
    GatewayRequest,
    folders_of,
    on_disk,
    readable,
    service_of,
)
from glagol.gateway.work.uploads import media_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Executor
    from pathlib import Path
    from typing import BinaryIO

    from glagol.gateway.library.files import Kind

__all__ = ["HANDLERS", "disposition", "part_of"]

_PATH: Final = "/ui/recordings/{identity:str}"
_PIECE: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_UNPLAYABLE: Final = "application/octet-stream"


@route(
    _PATH + "/sound",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    include_in_schema=False,
)
async def sound(request: GatewayRequest, identity: FromPath[str]) -> Response[Any]:
    """What can be listened to, or with `original=1` what was brought.

    Raises:
        InputError: `recording_unknown`, `range_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    found = await on_disk(request, readable, service, identity, allowed)
    original = request.query_params.get("original") == "1" or found.sound != "copy"
    if found.sound == "none" and not original:
        raise _nothing()
    kind: Kind = "original" if original else "listen.mp4"
    headers = {"etag": f'"{kind[0]}{found.audio_sha256[:32]}"'}
    if request.query_params.get("download") == "1":
        headers["content-disposition"] = disposition(found.title)
    media = None if original else "audio/mp4"
    return await _file(request, service.library.files.path(identity, kind), headers, media)


@route(
    _PATH + "/peaks",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    include_in_schema=False,
)
async def peaks(request: GatewayRequest, identity: FromPath[str]) -> Response[Any]:
    """Lowest and highest sample of each fiftieth of a second, int8.

    Raises:
        InputError: `recording_unknown`, also where there are none yet; `range_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    found = await on_disk(request, readable, service, identity, allowed)
    headers = {"etag": f'"p{found.audio_sha256[:32]}"'}
    path = service.library.files.path(identity, "peaks.i8")
    return await _file(request, path, headers, _UNPLAYABLE)


async def _file(
    request: GatewayRequest, path: Path, headers: dict[str, str], media: str | None
) -> Response[Any]:
    """A file, or the part of it that the request wants.

    Args:
        request: It may name a range.
        path: The file.
        headers: With the ETag.
        media: None finds the media type by the first bytes.
    """
    disk = service_of(request).executors.disk
    file, size, first = await call(disk, _opened, path)
    try:
        given = request.headers.get("range", "")
        if request.headers.get("if-range", headers["etag"]) != headers["etag"]:
            given = ""
        part = part_of(given, size)
    except InputError:
        await call(disk, file.close)
        raise
    start, end = part or (0, size)
    own = {
        **headers,
        "accept-ranges": "bytes",
        "content-length": str(end - start),
        "cache-control": "private, no-cache",
    }
    status = 200 if part is None else 206
    if part is not None:
        own["content-range"] = f"bytes {start}-{end - 1}/{size}"
    kind = media or media_type(first) or _UNPLAYABLE
    if request.method == "HEAD":
        await call(disk, file.close)
        return Response(b"", status_code=status, headers=own, media_type=kind)
    pieces = _pieces(disk, file, start, end)
    return Stream(pieces, status_code=status, headers=own, media_type=kind)


def part_of(given: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a Range header wants.

    None, the whole file, where the header is empty, of another unit, of several ranges or wrong.

    Raises:
        InputError: `range_invalid`, none of the bytes is there.
    """
    match = _RANGE.fullmatch(given.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None  # no range by its grammar
    if start >= end:
        raise InputError(
            "range_invalid", f"the file has {size} bytes", "ask for bytes inside the file"
        )
    return start, end


def disposition(name: str) -> str:
    """Content-Disposition of a download, by RFC 6266; the name in UTF-8."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "recording"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _opened(path: Path) -> tuple[BinaryIO, int, bytes]:
    try:
        file = path.open("rb")
        size = file.seek(0, 2)
        file.seek(0)
        return file, size, file.read(16)
    except FileNotFoundError:
        raise _nothing() from None
    except OSError as error:
        raise host_error(error, path) from error


async def _pieces(disk: Executor, file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    try:
        await call(disk, file.seek, start)
        while start < end:
            piece = await call(disk, file.read, min(_PIECE, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece
    finally:
        await call(disk, file.close)


def _nothing() -> InputError:
    return InputError(
        "recording_unknown", "there is nothing to hear of this recording", "wait for its copy"
    )


HANDLERS: Final = [sound, peaks]
