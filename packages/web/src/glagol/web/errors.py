"""Map any exception to an error response; unexpected ones reveal no detail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.core import journal
from glagol.core.errors import CODES, GlagolError
from glagol.web import envelope

if TYPE_CHECKING:
    from litestar import Request

__all__ = ["Fault", "Speaker", "answer", "fault_of", "openai_body", "record", "responses"]

RATE_LIMITED: Final = 429
SERVER_ERRORS: Final = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """What a client may know about an exception.

    Attributes:
        status: Of the HTTP answer.
        code: From the table of errors, or `internal`.
        message: What happened.
        remedy: What to do.
        headers: For the answer.
        parameter: Which one is wrong, when that is known.
    """

    status: int
    code: str
    message: str
    remedy: str
    headers: Mapping[str, str] = field(default_factory=dict)
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class Speaker:
    """Per-server options of the exception handler `answer`; kept as `app.state.speaker`.

    Attributes:
        openai: Beginnings of the paths whose errors have OpenAI's shape.
        retry_after_s: Whole seconds after which a refused client may find a place.
    """

    openai: tuple[str, ...]
    retry_after_s: Callable[[], int]

    def body(self, fault: Fault, path: str, request_id: str) -> bytes:
        """`fault` as JSON, in the shape of the route that was asked for."""
        if path.startswith(self.openai):
            return openai_body(fault)
        return envelope.failure(
            envelope.ErrorBody(fault.code, fault.message, fault.remedy, request_id)
        )


def fault_of(error: Exception, path: str) -> Fault:
    """Map an exception to the status, code and message that the client of `path` gets."""
    match error:
        case GlagolError():
            about = CODES[error.code]
            named = getattr(error, "parameter", None) or about.parameter
            return Fault(
                about.http_status, error.code, error.message, error.remedy, parameter=named
            )
        case HTTPException(status_code=404):
            return Fault(404, "not_found", f"there is no {path}", _ROUTES)
        case HTTPException(status_code=400 | 405 | 406 | 413 | 415 as status):
            headers = error.headers or {}
            return Fault(status, "request_invalid", str(error.detail), _ROUTES, headers)
        case _:
            return Fault(500, "internal", "internal error", "report the request id")


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Exception handler: the response for `error` in its route's format, noted for the log."""
    note = request.scope["state"]["note"]
    speaker: Speaker = request.app.state.speaker
    fault = record(error, request.scope["path"], note)
    headers = dict(fault.headers)
    if fault.code in CODES and CODES[fault.code].retry:
        headers["Retry-After"] = str(speaker.retry_after_s())
    return Response(
        speaker.body(fault, request.scope["path"], note["request_id"]),
        status_code=fault.status,
        headers=headers,
        media_type="application/json",
    )


def record(error: Exception, path: str, note: dict[str, Any]) -> Fault:
    """Map `error` to a fault, note its code, and log a traceback of an unexpected exception."""
    fault = fault_of(error, path)
    note["code"] = fault.code
    if fault.code == "internal":
        journal.write(
            "unexpected exception",
            level=logging.ERROR,
            error=True,
            request_id=note["request_id"],
        )
    return fault


def responses(
    texts: Mapping[int, str], form: type[msgspec.Struct] = envelope.Failure
) -> dict[int, ResponseSpec]:
    """A route's failed answers, for its OpenAPI document.

    Args:
        texts: What each status means here.
        form: Of the body.
    """
    return {
        status: ResponseSpec(form, description=text, generate_examples=False)
        for status, text in texts.items()
    }


def openai_body(fault: Fault) -> bytes:
    """`fault` as OpenAI's error body; the remedy is part of the message."""
    kind: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    if fault.status == RATE_LIMITED:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if fault.status >= SERVER_ERRORS else "invalid_request_error"
    text = f"{fault.message} ({fault.remedy})"
    return msgspec.json.encode(
        envelope.OpenaiFailure(envelope.OpenaiError(text, kind, fault.parameter, fault.code))
    )


_ROUTES: Final = "see /schema/openapi.json for the routes and what they take"
