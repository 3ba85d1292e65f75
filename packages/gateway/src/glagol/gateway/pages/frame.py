"""The frame that all pages have: language, theme, policy, and errors that are pages, too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
from litestar.response import Response

from glagol.core.errors import CODES, GlagolError
from glagol.gateway.http import views
from glagol.gateway.http.request import GatewayRequest
from glagol.gateway.pages import render
from glagol.gateway.pages.policy import POLICY
from glagol.gateway.pages.words import LANGUAGES, words

__all__ = ["LANGUAGE", "framed", "html", "language_of", "shown"]

LANGUAGE: Final = "glagol_lang"
"""Name of the cookie that holds the language a person chose."""

_THEME: Final = "glagol_theme"
_THEMES: Final = ("light", "dark")
_COMMON: Final = ("page.js", "events.js")
_MODULES: Final = {
    "home.js": (*_COMMON, "rows.js", "uploads.js"),
    "recording.js": (
        *_COMMON,
        *("transcript.js", "player.js", "waves.js", "find.js", "keys.js"),
        *("rows.js", "uploads.js", "saving.js", "editor.js", "side.js"),
    ),
    "simple.js": ("page.js", "keys.js"),
    "live.js": ("page.js", "microphone.js", "uploads.js"),
    "queue.js": (*_COMMON, "rows.js"),
}

Handler = Callable[..., Coroutine[Any, Any, Response[Any]]]


def language_of(request: GatewayRequest) -> str:
    """The language that a person chose, or the one that the browser prefers."""
    chosen = request.cookies.get(LANGUAGE, "")
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


def shown(handler: Handler) -> Handler:
    """A handler whose errors are pages, too."""

    @functools.wraps(handler)
    async def guarded(request: GatewayRequest, **rest: Any) -> Response[Any]:
        try:
            return await handler(request, **rest)
        except GlagolError as error:
            t = words(language_of(request))
            known = t.texts.get(f"trouble_{error.code}", "")
            message, remedy = error.message, error.remedy
            if known and "{" not in known:
                message, remedy = known, ""
            body = await framed(request, "error.html", chrome=False, message=message, remedy=remedy)
            return html(body, CODES[error.code].http_status)

    return guarded


async def framed(
    request: GatewayRequest,
    template: str,
    *,
    script: str = "simple.js",
    data: Mapping[str, Any] | None = None,
    chrome: bool = True,
    **values: Any,
) -> bytes:
    """A page inside the frame that all pages have.

    Args:
        request: What is answered.
        template: Name of its template.
        script: The module that makes the page live.
        data: What that module is given.
        chrome: Whether the bar leads to the other pages.
        **values: What the template shows.
    """
    language, theme = language_of(request), request.cookies.get(_THEME, "")
    state = values.pop("state", None)
    if chrome and state is None:
        state = await views.state(request)
    query = f"?{request.url.query}" if request.url.query else ""
    frame = {
        "here": "",
        "chrome": chrome,
        "state": state,
        "theme": theme if theme in _THEMES else "",
        "path": request.url.path + query,
        "person": state.person if state is not None else "",
        "script": script,
        "modules": _MODULES[script],
        "data": None if data is None else render.embedded(msgspec.json.encode(data)),
    }
    return render.page(template, language, **{**frame, **values})
