"""Signing in and out, with a name and a password or with a key."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, post
from litestar.response import Response

from glagol.core.errors import InputError, LimitError
from glagol.gateway.access.sessions import AGE_S, cookie, set_cookie
from glagol.gateway.http import provider
from glagol.gateway.http.answers import answer, body_of
from glagol.gateway.http.request import GatewayRequest, on_disk, service_of
from glagol.gateway.http.way import inside
from glagol.web.access.api_keys import Key, now_utc
from glagol.web.access.owner import client_of
from glagol.web.access.rate_limit import RateLimitError

__all__ = ["HANDLERS", "PATHS"]

PATHS: Final = frozenset({"/ui/session", "/ui/session/end", provider.THERE, provider.BACK})
"""They are open, since there is no session before the sign-in."""

TRIES_PER_MINUTE: Final = 10
_FORM: Final = "application/x-www-form-urlencoded"


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str = ""
    name: str = ""
    password: str = ""


class _Person(msgspec.Struct, frozen=True):
    person: str


@post("/ui/session", status_code=200, include_in_schema=False)
async def begin(request: GatewayRequest) -> Response[Any]:
    """Sign in with a name and a password, or a key; as JSON or by a form.

    Raises:
        InputError: `key_refused`; `request_invalid`.
        LimitError: `rate_limited`, this address has tried too often.
    """
    service = service_of(request)
    form = request.headers.get("content-type", "").startswith(_FORM)
    if form:
        sent = await request.form()
        words = {each: str(sent.get(each, "")) for each in _Given.__struct_fields__}
        given, way = _Given(**words), inside(str(sent.get("next", "")))
    else:
        given, way = await body_of(request, _Given), "/"
    key = await on_disk(request, _found, request, given)
    if key is None:
        if form:
            return Response(b"", status_code=303, headers={"location": "/signin?failed=1"})
        raise InputError(
            "key_refused",
            "the name, password or key is wrong or no longer valid",
            "ask the operator (`glagol people add NAME`, `glagol keys add NAME`)",
        )
    if old := cookie(request.scope):
        await on_disk(request, service.sessions.end, old)
    token = await on_disk(request, service.sessions.begin, key)
    headers = {"set-cookie": set_cookie(request.scope, token, int(AGE_S))}
    if form:
        return Response(b"", status_code=303, headers={**headers, "location": way})
    return await answer(request, _Person(key.name), headers=headers)


@delete("/ui/session", status_code=200, include_in_schema=False)
async def end(request: GatewayRequest) -> Response[Any]:
    """Sign out."""
    await on_disk(request, service_of(request).sessions.end, cookie(request.scope))
    return await answer(
        request, _Person(""), headers={"set-cookie": set_cookie(request.scope, "", 0)}
    )


@post("/ui/session/end", status_code=303, include_in_schema=False)
async def leave(request: GatewayRequest) -> Response[Any]:
    """Sign out by a form."""
    await on_disk(request, service_of(request).sessions.end, cookie(request.scope))
    headers = {"set-cookie": set_cookie(request.scope, "", 0), "location": "/signin"}
    return Response(b"", status_code=303, headers=headers)


def _found(request: GatewayRequest, given: _Given) -> Key | None:
    """The key of a person or a program; every try counts against its address and its name.

    Raises:
        LimitError: `rate_limited`.
    """
    service, now = service_of(request), service_of(request).clock()
    tried = [f"@{client_of(request.scope)}"]
    if given.name:
        tried.append(f"name {given.name[:100].lower()}")
    try:
        for who in tried:
            service.sessions.tries.take(who, TRIES_PER_MINUTE, now)
    except RateLimitError as error:
        raise LimitError("rate_limited", "too many tries to sign in", "wait a minute") from error
    if given.name:
        people = service.people() if service.door.signin() == "key" else None
        person = people.entered(given.name, given.password) if people is not None else None
        return None if person is None else person.key()
    ring, text = service.door.ring(), given.key.strip()
    key = ring.find(text) if ring is not None and text else None
    return None if key is None or key.expired(now_utc()) else key


HANDLERS: Final = [begin, end, leave, *provider.HANDLERS]
