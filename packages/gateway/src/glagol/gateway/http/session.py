"""Signing in and out: by a name and a password, by a key, at a provider of identities."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, post
from litestar.response import Response

from glagol.core import journal
from glagol.core.errors import GlagolError, InputError, LimitError
from glagol.gateway.access.sessions import AGE_S, cookie, set_cookie
from glagol.gateway.http.answers import answer, body_of
from glagol.gateway.http.request import GatewayRequest, inside, on_disk, origin_of, service_of
from glagol.web.access.api_keys import Key, now_utc
from glagol.web.access.owner import client_of
from glagol.web.access.rate_limit import RateLimitError

__all__ = ["HANDLERS", "PATHS"]

THERE: Final = "/ui/session/provider"
BACK: Final = "/ui/session/provider/back"
PATHS: Final = frozenset({"/ui/session", "/ui/session/end", THERE, BACK})
"""They are open, since there is no session before the sign-in."""

TRIES_PER_MINUTE: Final = 10
_STATE: Final = "glagol_state"
_STATE_S: Final = 600
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


@get(THERE, include_in_schema=False)
async def there(request: GatewayRequest) -> Response[Any]:
    """Lead to the provider.

    Raises:
        InputError: `not_found`, there is none.
        HostError: `upstream_unreachable`.
    """
    provider = service_of(request).provider
    if provider is None:
        raise InputError("not_found", "people sign in without a provider here", "see /signin")
    origin, way = origin_of(request), inside(request.query_params.get("next", "/"))
    address, state = await provider.begin(origin + BACK, way)
    secure = "; Secure" if origin.startswith("https:") else ""
    cookie = f"{_STATE}={state}; Path={BACK}; Max-Age={_STATE_S}; HttpOnly; SameSite=Lax{secure}"
    return Response(b"", status_code=303, headers={"location": address, "set-cookie": cookie})


@get(BACK, include_in_schema=False)
async def back(request: GatewayRequest) -> Response[Any]:
    """Take the person that the provider names, if people.json has that person.

    The answer is a page that leads on: a cookie of this site alone (SameSite=Strict) is not sent on
    a redirect that began at the provider.
    """
    service, query = service_of(request), request.query_params
    state = query.get("state", "")
    if service.provider is None or not state or request.cookies.get(_STATE) != state:
        return _lead("/signin?failed=1")
    try:
        name, way = await service.provider.end(
            origin_of(request) + BACK, state, query.get("code", "")
        )
    except GlagolError as error:
        journal.error("sign-in failed", error)
        return _lead("/signin?failed=1")
    people = service.people()
    person = people.named(name) if people is not None else None
    if person is None:
        return _lead("/signin?unknown=1")
    token = await on_disk(request, service.sessions.begin, person.key())
    return _lead(way, set_cookie(request.scope, token, int(AGE_S)))


def _lead(way: str, cookie: str = "") -> Response[bytes]:
    safe = way.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={safe}"><title>…</title>'
    headers = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
    if cookie:
        headers["set-cookie"] = cookie
    return Response(page.encode(), headers=headers, media_type="text/html")


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
        for each in tried:
            service.sessions.tries.take(each, TRIES_PER_MINUTE, now)
    except RateLimitError as error:
        raise LimitError("rate_limited", "too many tries to sign in", "wait a minute") from error
    if given.name:
        people = service.people() if service.door.signin() == "key" else None
        person = people.entered(given.name, given.password) if people is not None else None
        return None if person is None else person.key()
    ring, text = service.door.ring(), given.key.strip()
    key = ring.find(text) if ring is not None and text else None
    return None if key is None or key.expired(now_utc()) else key


HANDLERS: Final = [begin, end, leave, there, back]
