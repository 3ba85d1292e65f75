"""Answers of the pages' own routes: the envelope, compressed where that is worth it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.gateway.http.request import on_disk
from glagol.web import envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.http.request import GatewayRequest

__all__ = ["answer", "body_of", "choice_of", "integer_of"]

T = TypeVar("T")

BODY_MAX: Final = 8 << 20
_WORTH_IT: Final = 1400
_SMALL: Final = 1 << 16
_LEVEL: Final = 5


async def answer(
    request: GatewayRequest,
    data: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """`data` in the envelope.

    Args:
        request: What is answered.
        data: Whatever msgspec writes as JSON.
        status: Of the answer.
        headers: More of them.
    """
    body = envelope.success(msgspec.json.encode(data))
    own = {**(headers or {}), "vary": "accept-encoding"}
    if len(body) > _WORTH_IT and "gzip" in request.headers.get("accept-encoding", ""):
        own["content-encoding"] = "gzip"
        if len(body) > _SMALL:
            body = await on_disk(request, _pressed, body)
        else:
            body = _pressed(body)
    return Response(body, status_code=status, headers=own, media_type="application/json")


async def body_of(request: GatewayRequest, form: type[T]) -> T:
    """The JSON body of a request.

    Raises:
        InputError: `request_invalid`, it has another form.
    """
    try:
        return msgspec.json.decode(await request.body(), type=form)
    except msgspec.DecodeError as error:
        raise InputError(
            "request_invalid", f"the body is not what this route takes: {error}", "reload the page"
        ) from None


def integer_of(request: GatewayRequest, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query.

    Raises:
        InputError: `option_invalid`.
    """
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:18]) <= high:
        raise InputError(
            "option_invalid", f"{name}={text[:40]!r} is not {low}..{high}", "leave it out"
        )
    return int(text)


def choice_of(request: GatewayRequest, name: str, default: str, *allowed: str) -> str:
    """A word of the query.

    Raises:
        InputError: `option_invalid`.
    """
    text = str(request.query_params.get(name, "")) or default
    if text not in allowed:
        raise InputError(
            "option_invalid",
            f"{name}={text[:40]!r} is none of {', '.join(allowed)}",
            "choose one of them",
        )
    return text


def _pressed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
