"""From any exception to the one error answer; nothing leaks that the table does not name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import HTTPException
from litestar.response import Response

from glagol.asr import journal, wire
from glagol.registry.errors import CODES, GlagolError

if TYPE_CHECKING:
    from litestar import Request

__all__ = ["answer", "status_of"]

RETRY_LATER: Final = frozenset({"queue_full", "busy", "not_ready"})


def status_of(code: str) -> int:
    """The HTTP status of an error code; 500 for `internal`."""
    return CODES[code].http_status if code in CODES else 500


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The envelope for `error`, and what the log must know about it."""
    note = request.scope["state"]["note"]
    headers: dict[str, str] = {}
    match error:
        case GlagolError():
            status, body = status_of(error.code), (error.code, error.message, error.remedy)
        case HTTPException(status_code=404):
            status, body = 404, ("not_found", f"there is no {request.url.path}", _ROUTES)
        case HTTPException(status_code=400 | 405 | 406 | 413 | 415 as status):
            headers.update(error.headers or {})
            body = ("request_invalid", str(error.detail), _ROUTES)
        case _:
            status, body = 500, ("internal", "the server made a mistake", "report the request id")
            journal.write(
                "unexpected exception",
                level=logging.ERROR,
                error=True,
                request_id=note["request_id"],
            )
    if body[0] in RETRY_LATER:
        headers["Retry-After"] = str(request.app.state.engine.retry_after_s())
    note["code"] = body[0]
    return Response(
        wire.failure(wire.ErrorBody(*body, request_id=note["request_id"])),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


_ROUTES: Final = "see /schema/openapi.json for the routes and what they take"
