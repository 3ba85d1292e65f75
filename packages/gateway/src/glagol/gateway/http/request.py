"""What a handler finds at a request: the service behind it, the person, the folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import State

from glagol.core.errors import InputError
from glagol.core.executors import call
from glagol.gateway.library import folders
from glagol.web.access.auth import caller_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from litestar.connection import ASGIConnection

    from glagol.gateway.library.library import Recording
    from glagol.gateway.service import Service
    from glagol.web.access.auth import Caller

__all__ = [
    "GatewayRequest",
    "caller",
    "editable",
    "folders_of",
    "inside",
    "note_of",
    "on_disk",
    "origin_of",
    "person_of",
    "readable",
    "service_of",
]

GatewayRequest = Request[Any, Any, State]

P = ParamSpec("P")
T = TypeVar("T")


def service_of(request: ASGIConnection[Any, Any, Any, Any]) -> Service:
    """What the handlers share."""
    return cast("Service", request.app.state.service)


def caller(request: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """The person of a request, and whether an administrator; True where there is no sign-in."""
    return caller_of(cast("Mapping[str, Any]", request.scope))


def person_of(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The person of a request; empty where there is no sign-in."""
    return caller(request).name


def note_of(request: GatewayRequest) -> dict[str, Any]:
    """What the log line will know about this request."""
    return cast("dict[str, Any]", request.scope["state"]["note"])


async def on_disk(
    request: ASGIConnection[Any, Any, Any, Any],
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Call `function`, which waits for the library's disk, in a thread for that."""
    return await call(service_of(request).executors.disk, function, *args, **kwargs)


async def folders_of(
    request: ASGIConnection[Any, Any, Any, Any], *, edit: bool = False
) -> list[int]:
    """Ids of the folders that the person may read, or edit."""
    database = service_of(request).library.db
    if edit and caller(request).reads_only:
        return []
    if caller(request).admin:
        return await on_disk(request, folders.every, database)
    return await on_disk(request, folders.folders_of, database, person_of(request), edit=edit)


def readable(service: Service, identity: str, allowed: Sequence[int]) -> Recording:
    """A recording of one of these folders.

    Raises:
        InputError: `recording_unknown`, also where there is one that the person may not see.
    """
    found = service.library.read(identity)
    if found.folder not in allowed:
        raise InputError(
            "recording_unknown", "there is no such recording", "see the list of recordings"
        )
    return found


async def editable(request: GatewayRequest, identity: str) -> Recording:
    """A recording that the person may change.

    Raises:
        InputError: `recording_unknown`; `forbidden`, the person may only read it.
    """
    service = service_of(request)
    found = await on_disk(request, readable, service, identity, await folders_of(request))
    if found.folder not in await folders_of(request, edit=True):
        raise InputError(
            "forbidden", "you may read this folder, not change it", "ask the administrator"
        )
    return found


def inside(way: str) -> str:
    """A path of this server; `/` for anything else that a link may say."""
    parts = urlsplit(way)
    own = way.startswith("/") and not way.startswith(("//", "/\\")) and way.isprintable()
    return way if own and way.isascii() and not parts.netloc and not parts.scheme else "/"


def origin_of(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Scheme and host that the browser has asked; the host was checked before."""
    scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"])
    return f"{'https' if scheme == 'https' else 'http'}://{request.headers.get('host', '')}"
