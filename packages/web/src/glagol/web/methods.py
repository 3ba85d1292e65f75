"""ASGI layer for HEAD requests and for method overrides.

Monitors and load balancers send `HEAD /health`, which is answered as GET without the body (RFC
9110, section 9.3.2). Clients behind a proxy that passes GET and POST only name the intended method
in `X-HTTP-Method-Override`, as the tus protocol 1.0.0 specifies.

The layer runs after the checks of hosts and keys. An override is obeyed in a POST only, and those
checks treat POST like every method that an override can name.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from glagol.web.access.refusal import plain

if TYPE_CHECKING:
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["Methods"]

_OVERRIDE: Final = b"x-http-method-override"
_METHODS: Final = frozenset({"POST", "PATCH", "DELETE", "HEAD"})


class Methods:
    """HEAD where there is a cheap GET, and method overrides, around an ASGI application.

    Args:
        app: The application.
        headed: Paths that answer to HEAD as to GET.
        overridden: Beginnings of the paths where an override is obeyed.
    """

    def __init__(self, app: Asgi, headed: Collection[str], overridden: tuple[str, ...]) -> None:
        self._app = app
        self._headed = headed
        self._overridden = overridden

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, under the method that its client means."""
        if scope["type"] == "http":
            method = self._meant(scope)
            if method == "HEAD" and plain(scope["path"]) in self._headed:
                await self._app({**scope, "method": "GET"}, receive, _bodiless(send))
                return
            if method != scope["method"]:
                scope = {**scope, "method": method}
        await self._app(scope, receive, send)

    def _meant(self, scope: Scope) -> str:
        method: str = scope["method"]
        if method != "POST" or not plain(scope["path"]).startswith(self._overridden):
            return method
        given = [value for name, value in scope["headers"] if name.lower() == _OVERRIDE]
        meant = given[0].decode("latin-1").strip().upper() if len(given) == 1 else method
        return meant if meant in _METHODS else method


def _bodiless(send: Send) -> Send:
    """Sends the head alone, with the length that the body would have."""

    async def bare(message: Any) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare
