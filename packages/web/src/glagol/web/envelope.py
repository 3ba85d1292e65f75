"""The one shape of every answer: the envelope, and OpenAI's error body on OpenAI's routes."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ErrorBody", "Failure", "OpenaiError", "OpenaiFailure", "failure", "success"]


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a request failed: a stable code, what happened, what to do, which request."""

    code: str
    message: str
    remedy: str
    request_id: str


class OpenaiError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a request failed, as OpenAI tells it; `code` is ours, `param` the wrong field if any."""

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str


class OpenaiFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failed answer on OpenAI's routes."""

    error: OpenaiError


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failed answer."""

    success: Literal[False]
    data: None
    error: ErrorBody


def success(data: bytes) -> bytes:
    """The envelope around `data`, which is JSON already and is not touched."""
    return b'{"success":true,"data":' + data + b',"error":null}'


def failure(body: ErrorBody) -> bytes:
    """The envelope of a failed request."""
    return msgspec.json.encode(Failure(success=False, data=None, error=body))
