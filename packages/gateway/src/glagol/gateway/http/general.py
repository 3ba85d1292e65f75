"""Routes that are about no single recording: state, search, folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.gateway.http import views
from glagol.gateway.http.answers import answer, body_of, integer_of
from glagol.gateway.http.request import (
    GatewayRequest,
    caller,
    folders_of,
    on_disk,
    service_of,
)
from glagol.gateway.library import folders as rows

if TYPE_CHECKING:
    from glagol.gateway.library.folders import Entry, Folder
    from glagol.gateway.work.models import Model

__all__ = ["HANDLERS"]

_PATH: Final = "/ui/folders/{number:int}"
_NUMBER_MAX: Final = 1 << 53
_LIMIT_MAX: Final = 100


class _Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    audio_days: int | msgspec.UnsetType | None = msgspec.UNSET
    text_days: int | msgspec.UnsetType | None = msgspec.UNSET


class _Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    who: str
    may: Literal["read", "edit", "none"]


class _Folders(msgspec.Struct, frozen=True):
    folders: list[Folder]


class _Models(msgspec.Struct, frozen=True):
    models: list[Model]


class _Access(msgspec.Struct, frozen=True):
    access: list[Entry]


@get("/ui/state", include_in_schema=False)
async def state(request: GatewayRequest) -> Response[bytes]:
    """What every page needs to know of the server."""
    return await answer(request, await views.state(request))


@get("/ui/models", include_in_schema=False)
async def models(request: GatewayRequest) -> Response[bytes]:
    """The models of the services that are in reach."""
    return await answer(request, _Models(await service_of(request).models.every()))


@get("/ui/search", include_in_schema=False)
async def search(request: GatewayRequest) -> Response[bytes]:
    """Segments with all words of the query `q`, in any form.

    Raises:
        InputError: `option_invalid`.
    """
    found = await on_disk(
        request,
        views.hits,
        service_of(request),
        str(request.query_params.get("q", "")),
        await folders_of(request),
        limit=integer_of(request, "limit", 20, 1, _LIMIT_MAX),
        folder=integer_of(request, "folder", 0, 0, _NUMBER_MAX),
    )
    return await answer(request, found)


@get("/ui/folders", include_in_schema=False)
async def every(request: GatewayRequest) -> Response[bytes]:
    """The folders that the person may read."""
    database, allowed = service_of(request).library.db, await folders_of(request)
    return await answer(request, _Folders(await on_disk(request, rows.some, database, allowed)))


@post("/ui/folders", status_code=201, include_in_schema=False)
async def add(request: GatewayRequest) -> Response[bytes]:
    """A new folder.

    Raises:
        InputError: `forbidden`, `option_invalid`, `request_invalid`.
    """
    asked = await body_of(request, _Name)
    _administers(request)
    database = service_of(request).library.db
    number = await on_disk(request, rows.add, database, asked.name.strip())
    return await _one(request, number, 201)


@patch(_PATH, include_in_schema=False)
async def change(request: GatewayRequest, number: FromPath[int]) -> Response[bytes]:
    """Its name, and how long what is in it is kept.

    Raises:
        InputError: `forbidden`, `folder_unknown`, `option_invalid`, `request_invalid`.
    """
    asked = await body_of(request, _Change)
    _administers(request)
    database = service_of(request).library.db
    known = await on_disk(request, rows.some, database, [number])
    if not known:
        raise InputError("folder_unknown", "there is no such folder", "choose one of the list")
    now = known[0]
    audio, text = asked.audio_days, asked.text_days
    await on_disk(
        request,
        rows.change,
        database,
        number,
        name=now.name if asked.name is None else asked.name.strip(),
        audio_days=now.audio_days if isinstance(audio, msgspec.UnsetType) else audio,
        text_days=now.text_days if isinstance(text, msgspec.UnsetType) else text,
    )
    return await _one(request, number, 200)


@delete(_PATH, status_code=200, include_in_schema=False)
async def remove(request: GatewayRequest, number: FromPath[int]) -> Response[bytes]:
    """Remove an empty folder.

    Raises:
        InputError: `forbidden`, `folder_unknown`, `option_invalid`.
    """
    _administers(request)
    await on_disk(request, rows.remove, service_of(request).library.db, number)
    database, allowed = service_of(request).library.db, await folders_of(request)
    return await answer(request, _Folders(await on_disk(request, rows.some, database, allowed)))


@put(_PATH + "/access", status_code=200, include_in_schema=False)
async def grant(request: GatewayRequest, number: FromPath[int]) -> Response[bytes]:
    """Let a person read or edit a folder, or no longer.

    Raises:
        InputError: `forbidden`, `folder_unknown`, `request_invalid`.
    """
    asked = await body_of(request, _Grant)
    _administers(request)
    database = service_of(request).library.db
    may = None if asked.may == "none" else asked.may
    await on_disk(request, rows.grant, database, number, asked.who, may)
    return await answer(request, _Access(await on_disk(request, rows.granted, database, number)))


async def _one(request: GatewayRequest, number: int, status: int) -> Response[bytes]:
    database = service_of(request).library.db
    return await answer(request, (await on_disk(request, rows.some, database, [number]))[0], status)


def _administers(request: GatewayRequest) -> None:
    if not caller(request).admin:
        raise InputError("forbidden", "folders are the administrator's", "ask the administrator")


HANDLERS: Final = [state, models, search, every, add, change, remove, grant]
