"""ASGI layer that refuses a recording whose sender has no place for its body.

The routes refuse it as well, by the same rule, when they begin to read. A refusal by them costs the
event loop some five times as much, and one caller may ask for hundreds in a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import LimitError
from glagol.web.access.host_check import header
from glagol.web.access.owner import owner_of
from glagol.web.access.refusal import refuse

if TYPE_CHECKING:
    from glagol.core.shares import Shares
    from glagol.web.errors import Speaker
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["refusing"]

_PATHS: Final = ("/v1/transcribe", "/v1/audio/")
_METHODS: Final = frozenset({"POST", "PUT"})


def refusing(bodies: Shares, app: Asgi, speaker: Speaker) -> Asgi:
    """The application, behind a check of the sender's share of bodies.

    Args:
        bodies: Being received now.
        app: The routes.
        speaker: The shape of errors by path.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if _brings_body(scope):
            try:
                bodies.check(owner_of(scope))
            except LimitError as error:
                again = str(speaker.retry_after_s()).encode()
                await refuse(scope, send, error, speaker, [(b"retry-after", again)])
                return
        await app(scope, receive, send)

    return checked


def _brings_body(scope: dict[str, Any]) -> bool:
    """Whether it is a recording with a body; one that names an upload may have none."""
    if scope["type"] != "http" or scope["method"] not in _METHODS:
        return False
    if not scope["path"].startswith(_PATHS) or b"upload=" in scope["query_string"]:
        return False
    return header(scope, b"content-length") != ["0"]
