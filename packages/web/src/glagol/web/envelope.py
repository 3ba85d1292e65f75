"""JSON of all responses: the envelope, and OpenAI's error body on OpenAI's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from glagol.core.errors import CODES

if TYPE_CHECKING:
    from glagol.core.errors import GlagolError

__all__ = [
    "ErrorBody",
    "Failure",
    "OpenaiError",
    "OpenaiFailure",
    "Received",
    "failure",
    "received",
    "success",
]


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a request failed: a stable code, what happened, what to do, which request."""

    code: str
    message: str
    remedy: str
    request_id: str


class OpenaiError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Error in OpenAI's format; `code` is ours, `param` the wrong field if any."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str


class OpenaiFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an error response on OpenAI's routes."""

    error: OpenaiError


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an error response."""

    success: Literal[False]
    data: None
    error: ErrorBody


def success(data: bytes) -> bytes:
    """Put `data`, which is JSON already, into the envelope unchanged."""
    return b'{"success":true,"data":' + data + b',"error":null}'


def failure(body: ErrorBody) -> bytes:
    """The envelope of a failed request."""
    return msgspec.json.encode(Failure(success=False, data=None, error=body))


class Received(msgspec.Struct, frozen=True):
    """The error in the response of another server, which may run another release."""

    code: str = ""
    message: str = ""
    remedy: str = ""

    def error(self) -> GlagolError | None:
        """The same error as an exception; None if this release's table has no such code."""
        if self.code not in CODES:
            return None
        return CODES[self.code].family(self.code, self.message, self.remedy)


class _Answer(msgspec.Struct, frozen=True):
    error: Received


def received(body: bytes) -> Received:
    """The error in the error response of another Glagol server; empty for any other body."""
    try:
        return msgspec.json.decode(body, type=_Answer).error
    except msgspec.DecodeError:
        return Received()
