"""The routes of pages and of the files that they load."""

from __future__ import annotations

import mimetypes
from typing import Any, Final

from litestar import get
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import CODES, GlagolError, InputError
from glagol.gateway.http import views
from glagol.gateway.http.request import GatewayRequest, folders_of, on_disk, service_of
from glagol.gateway.pages import render
from glagol.gateway.pages.policy import POLICY

__all__ = ["HANDLERS", "OPEN"]

OPEN: Final = frozenset({"/signin"})
"""Pages that need no sign-in."""

LANGUAGES: Final = ("ru", "en")
_COOKIE: Final = "glagol_lang"


def language_of(request: GatewayRequest) -> str:
    """The language that a person chose, or the one that the browser prefers."""
    chosen = request.cookies.get(_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    accepted = request.headers.get("accept-language", "").lower()
    found = [(accepted.find(each), each) for each in LANGUAGES if each in accepted]
    return min(found)[1] if found else "en"


def html(body: bytes, status: int = 200) -> Response[bytes]:
    """A page with its policy."""
    headers = {
        "content-security-policy": POLICY,
        "permissions-policy": "microphone=(self)",
        "vary": "accept-language, cookie",
    }
    return Response(body, status_code=status, headers=headers, media_type="text/html")


@get("/", include_in_schema=False)
async def home(request: GatewayRequest) -> Response[bytes]:
    """What is in work, the recordings, a form."""
    service, allowed = service_of(request), await folders_of(request)
    shown = await on_disk(request, views.recordings, service, allowed)
    state = await views.state(request)
    return html(render.page("home.html", language_of(request), list=shown, state=state))


@get("/r/{identity:str}", include_in_schema=False)
async def recording(request: GatewayRequest, identity: FromPath[str]) -> Response[bytes]:
    """A recording with its text."""
    service, allowed, lang = service_of(request), await folders_of(request), language_of(request)
    try:
        about = await on_disk(request, views.recording, service, identity, allowed)
        text = await on_disk(request, views.text, service, identity, allowed)
    except GlagolError as error:
        body = render.page("error.html", lang, message=error.message, remedy=error.remedy)
        return html(body, CODES[error.code].http_status)
    return html(render.page("recording.html", lang, recording=about, text=text))


@get("/signin", include_in_schema=False)
async def signin(request: GatewayRequest) -> Response[bytes]:
    """Where people sign in with a key."""
    query = request.query_params
    values: dict[str, Any] = {"next": query.get("next", "/"), "failed": "failed" in query}
    return html(render.page("signin.html", language_of(request), **values))


@get("/assets/{digest:str}/{name:str}", include_in_schema=False)
async def assets(
    request: GatewayRequest, digest: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """A file that pages load; kept by browsers for a year.

    Raises:
        InputError: `not_found`.
    """
    path = await on_disk(request, render.asset_path, name)
    if path is None or digest != render.assets_digest():
        raise InputError("not_found", "there is no such file", "reload the page")
    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(await on_disk(request, path.read_bytes), headers=headers, media_type=media)


HANDLERS: Final = [home, recording, signin, assets]
