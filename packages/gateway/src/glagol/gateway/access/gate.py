"""The layer in front of the pages that sends people to where they sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from glagol.core.errors import InputError
from glagol.web.access.host_check import header
from glagol.web.access.refusal import plain, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.access.sessions import Sessions
    from glagol.gateway.service import Door
    from glagol.web import errors
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["Gate"]

_WAY: Final = "/signin?next="


class Gate:
    """Signing in, around an ASGI application.

    A page that needs a person leads to `/signin`. Where people must sign in and there is no key,
    every request is refused with the command that adds one.

    Args:
        app: The application.
        door: Decides whether people must sign in.
        sessions: People who signed in.
        open_: Exact paths that need no sign-in.
        below: Beginnings of more of them.
        speaker: The shape of errors.
    """

    def __init__(
        self,
        app: Asgi,
        door: Door,
        sessions: Sessions,
        open_: frozenset[str],
        below: tuple[str, ...],
        speaker: errors.Speaker,
    ) -> None:
        self._app = app
        self._door = door
        self._sessions = sessions
        self._open = open_
        self._below = below
        self._speaker = speaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        path = plain(scope.get("path", "/"))
        free = path in self._open or path.startswith(self._below)
        if scope["type"] not in {"http", "websocket"} or free or self._door.signin() == "none":
            await self._app(scope, receive, send)
            return
        ring = self._door.ring()
        if ring is None:  # `Door.closed`
            await refuse(scope, send, _no_key(), self._speaker)
        elif _is_page(scope) and self._sessions.signed(scope, ring) is None:
            await _lead(scope, send)
        else:
            await self._app(scope, receive, send)


def _is_page(scope: Mapping[str, Any]) -> bool:
    """Whether a person waits for a page, and sends no key."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and any("text/html" in each for each in header(dict(scope), b"accept"))
        and not header(dict(scope), b"authorization")
    )


async def _lead(scope: Scope, send: Send) -> None:
    query = scope.get("query_string", b"").decode("latin-1")
    way = scope["path"] + (f"?{query}" if query else "")
    headers = [
        (b"location", (_WAY + quote(way, safe="/")).encode()),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _no_key() -> InputError:
    return InputError(
        "forbidden",
        "people have to sign in here, and there is no key yet",
        "run `glagol keys add NAME`, or set GATEWAY_SIGNIN=none where every caller may read all",
    )
