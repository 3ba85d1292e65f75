"""Signing in and out with a key."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar import delete, post
from litestar.response import Response

from glagol.core.errors import InputError, LimitError
from glagol.gateway.access.sessions import PLAIN, SECURE, cookie
from glagol.gateway.http.answers import answer, body_of
from glagol.gateway.http.request import GatewayRequest, on_disk, service_of
from glagol.web.access.api_keys import Key, now_utc
from glagol.web.access.owner import client_of
from glagol.web.access.rate_limit import RateLimitError

__all__ = ["HANDLERS", "PATHS"]

PATHS: Final = frozenset({"/ui/session", "/ui/session/end"})
"""They are open, since there is no session before the sign-in."""

TRIES_PER_MINUTE: Final = 10
_AGE_S: Final = 7 * 86_400
_FORM: Final = "application/x-www-form-urlencoded"


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str


class _Person(msgspec.Struct, frozen=True):
    person: str


@post("/ui/session", status_code=200, include_in_schema=False)
async def begin(request: GatewayRequest) -> Response[Any]:
    """Sign in with a key, as JSON or by a form.

    Raises:
        InputError: `key_refused`; `request_invalid`.
        LimitError: `rate_limited`, this address has tried too often.
    """
    service = service_of(request)
    form = request.headers.get("content-type", "").startswith(_FORM)
    if form:
        sent = await request.form()
        text, way = str(sent.get("key", "")), _inside(str(sent.get("next", "")))
    else:
        text, way = (await body_of(request, _Key)).key, "/"
    key = _found(request, text.strip())
    if key is None:
        if form:
            return Response(b"", status_code=303, headers={"location": "/signin?failed=1"})
        raise InputError(
            "key_refused",
            "the key is unknown, revoked or expired",
            "ask the operator for a key (`glagol keys add NAME`)",
        )
    if old := cookie(request.scope):
        await on_disk(request, service.sessions.end, old)
    token = await on_disk(request, service.sessions.begin, key)
    headers = {"set-cookie": _set(request, token, _AGE_S)}
    if form:
        return Response(b"", status_code=303, headers={**headers, "location": way})
    return await answer(request, _Person(key.name), headers=headers)


@delete("/ui/session", status_code=200, include_in_schema=False)
async def end(request: GatewayRequest) -> Response[Any]:
    """Sign out."""
    await on_disk(request, service_of(request).sessions.end, cookie(request.scope))
    return await answer(request, _Person(""), headers={"set-cookie": _set(request, "", 0)})


@post("/ui/session/end", status_code=303, include_in_schema=False)
async def leave(request: GatewayRequest) -> Response[Any]:
    """Sign out by a form."""
    await on_disk(request, service_of(request).sessions.end, cookie(request.scope))
    headers = {"set-cookie": _set(request, "", 0), "location": "/signin"}
    return Response(b"", status_code=303, headers=headers)


def _found(request: GatewayRequest, text: str) -> Key | None:
    service = service_of(request)
    try:
        service.sessions.tries.take(
            f"@{client_of(request.scope)}", TRIES_PER_MINUTE, service.clock()
        )
    except RateLimitError as error:
        raise LimitError(
            "rate_limited", "too many keys were tried from here", "wait a minute"
        ) from error
    ring = service.door.ring()
    key = ring.find(text) if ring is not None and text else None
    return None if key is None or key.expired(now_utc()) else key


def _set(request: GatewayRequest, token: str, age_s: int) -> str:
    scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"])
    secure = scheme == "https"
    name = SECURE if secure else PLAIN
    flags = "; Secure" if secure else ""
    return f"{name}={token}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{flags}"


def _inside(way: str) -> str:
    """A path of this server; `/` for anything else that a link may say."""
    parts = urlsplit(way)
    plain = way.startswith("/") and not way.startswith(("//", "/\\")) and way.isprintable()
    return way if plain and not parts.netloc and not parts.scheme else "/"


HANDLERS: Final = [begin, end, leave]
