"""Signing in at a provider of identities: the way there, and the way back."""

from __future__ import annotations

from typing import Any, Final

from litestar import get
from litestar.response import Response

from glagol.core import journal
from glagol.core.errors import GlagolError, InputError
from glagol.gateway.access.sessions import AGE_S, set_cookie
from glagol.gateway.http.request import GatewayRequest, on_disk, service_of
from glagol.gateway.http.way import inside, origin_of

__all__ = ["BACK", "HANDLERS", "THERE"]

THERE: Final = "/ui/session/provider"
BACK: Final = "/ui/session/provider/back"
_STATE: Final = "glagol_state"
_STATE_S: Final = 600


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
    """Take the person whom the provider has named, if people.json has that person.

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


HANDLERS: Final = [there, back]
