"""Refuse a request in a layer in front of the application."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from glagol.web import errors

if TYPE_CHECKING:
    from glagol.core.errors import GlagolError
    from glagol.web.request_log import Scope, Send

__all__ = ["plain", "refuse"]

_POLICY_VIOLATION: Final = 1008  # RFC 6455, section 7.4.1


def plain(path: str) -> str:
    """The path as the framework will understand it: one slash at a time, none at the end."""
    return re.sub(r"/+", "/", path).rstrip("/") or "/"


async def refuse(
    scope: Scope,
    send: Send,
    error: GlagolError,
    speaker: errors.Speaker,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with `error` in the shape of the path; a WebSocket is not accepted, which is a 403.

    Args:
        scope: Of the request.
        send: Where the answer goes.
        error: Why it is refused.
        speaker: The shape of errors by path.
        headers: More of them for the answer.
    """
    note: dict[str, Any] = scope.setdefault("state", {}).setdefault("note", {})
    fault = errors.record(error, scope["path"], note)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": fault.code})
        return
    body = speaker.body(fault, scope["path"], note.get("request_id", ""))
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": fault.status, "headers": own})
    await send({"type": "http.response.body", "body": body})
