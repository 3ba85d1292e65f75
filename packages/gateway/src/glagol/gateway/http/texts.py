"""Routes of texts: reading, editing, taking back, replacing, history, source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.gateway.http import views
from glagol.gateway.http.answers import answer, body_of, integer_of
from glagol.gateway.http.request import (
    GatewayRequest,
    editable,
    folders_of,
    on_disk,
    person_of,
    readable,
    service_of,
)
from glagol.gateway.library import history, operations
from glagol.gateway.library.operations import Operation
from glagol.gateway.text import replacing
from glagol.gateway.text.columns import ChangesView, of_segment, speakers_of

if TYPE_CHECKING:
    from glagol.gateway.service import Service

__all__ = ["HANDLERS"]

_PATH: Final = "/ui/recordings/{identity:str}"
_MANY: Final = 1 << 31
_PHRASE_MAX: Final = 200


class _Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seen: int
    operation: Operation


class _Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    edit: int
    seen: int | None = None


class _Found(msgspec.Struct, frozen=True):
    found: list[replacing.Found]
    count: int


@get(_PATH + "/text", include_in_schema=False)
async def text(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """The text in columns; of a machine, with `original=N`.

    Raises:
        InputError: `recording_unknown`, `option_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    number = integer_of(request, "original", 0, 0, 999)
    found = await on_disk(request, readable, service, identity, allowed)
    tag = f'"{number}-{found.text_sha256[:32]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers)
    shown = await on_disk(request, views.text, service, identity, allowed, number)
    return await answer(request, shown, headers=headers)


@get(_PATH + "/changes", include_in_schema=False)
async def changes(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """What edits after number `after` did.

    Raises:
        InputError: `recording_unknown`, `option_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    await on_disk(request, readable, service, identity, allowed)
    after = integer_of(request, "after", 0, 0, _MANY)
    return await answer(request, await on_disk(request, _changes, service, identity, after))


@post(_PATH + "/edits", status_code=200, include_in_schema=False)
async def edit(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Apply an operation; what to change in the page.

    Raises:
        InputError: `recording_unknown`, `forbidden`, `edit_invalid`, `edit_conflict`.
    """
    asked = await body_of(request, _Edit)
    if isinstance(asked.operation, operations.Restore):
        raise InputError("edit_invalid", "only the server takes edits back", "use the route undo")
    await editable(request, identity)
    service, person = service_of(request), person_of(request)
    made = await on_disk(request, _edit, service, identity, asked, person)
    service.events.edited(identity, made.number or 0, person)
    return await answer(request, made)


@post(_PATH + "/undo", status_code=200, include_in_schema=False)
async def undo(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Take an edit back; what to change in the page.

    Raises:
        InputError: `recording_unknown`, `forbidden`, `edit_invalid`, `edit_conflict`.
    """
    asked = await body_of(request, _Undo)
    await editable(request, identity)
    service, person = service_of(request), person_of(request)
    made = await on_disk(request, _undo, service, identity, asked, person)
    service.events.edited(identity, made.number or 0, person)
    return await answer(request, made)


@get(_PATH + "/replace", include_in_schema=False)
async def replace(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Where a phrase stands, and what the segments become when it is replaced.

    Raises:
        InputError: `recording_unknown`, `option_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    await on_disk(request, readable, service, identity, allowed)
    query = request.query_params
    old, new = str(query.get("old", "")).strip(), str(query.get("new", "")).strip()
    if not old or max(len(old), len(new)) > _PHRASE_MAX:
        raise InputError(
            "option_invalid", f"a phrase has 1..{_PHRASE_MAX} characters", "shorten the phrase"
        )
    document, _ = await on_disk(request, service.library.text, identity)
    found = await on_disk(
        request, replacing.find, document, old, new, fold=query.get("fold") == "1"
    )
    return await answer(request, _Found(found, sum(each.times for each in found)))


@get(_PATH + "/edits", include_in_schema=False)
async def edits(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """The history.

    Raises:
        InputError: `recording_unknown`, `option_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    after = integer_of(request, "after", 0, 0, _MANY)
    shown = await on_disk(request, views.edits, service, identity, allowed, after)
    return await answer(request, shown)


@get(_PATH + "/source", include_in_schema=False)
async def source(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """Which bytes made the text, and whether its edits are whole.

    Raises:
        InputError: `recording_unknown`.
    """
    service, allowed = service_of(request), await folders_of(request)
    return await answer(request, await on_disk(request, views.source, service, identity, allowed))


def _edit(service: Service, identity: str, asked: _Edit, person: str) -> ChangesView:
    operation: Any = asked.operation
    if isinstance(operation, operations.Unite):  # the page need not list the segments
        document, _ = service.library.text(identity)
        mine = tuple(s.id for s in document.segments if s.speaker == operation.speaker)
        operation = msgspec.structs.replace(operation, segments=mine)
    made = service.library.edit(identity, operation, person=person, seen=asked.seen)
    return _changes(service, identity, min(asked.seen, made.number - 1), made.number)


def _undo(service: Service, identity: str, asked: _Undo, person: str) -> ChangesView:
    made = service.library.undo(identity, asked.edit, person=person)
    seen = asked.edit if asked.seen is None else asked.seen
    return _changes(service, identity, min(seen, made.number - 1), made.number)


def _changes(service: Service, identity: str, after: int, number: int | None = None) -> ChangesView:
    library = service.library
    row = library.read(identity)
    with library.db.writing() as db:  # all of one moment
        last, there, removed = history.changed(db, row.number, after)
    document, _ = library.text(identity)
    made = library.edits(identity, last - 1) if last else []
    return ChangesView(
        last,
        library.read(identity).text_sha256,
        [of_segment(segment) for segment in there.values()],
        removed,
        speakers_of(document),
        made[0].person if made else "",
        number,
    )


HANDLERS: Final = [text, changes, edit, undo, replace, edits, source]
