"""The routes of pages and of the files that they load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.core.version import VERSION
from glagol.gateway.http import views
from glagol.gateway.http.request import GatewayRequest, folders_of, on_disk, service_of
from glagol.gateway.library import folders as folder_rows
from glagol.gateway.pages import render, states
from glagol.gateway.pages.frame import LANGUAGE, framed, html, language_of, shown
from glagol.gateway.pages.words import LANGUAGES, words

if TYPE_CHECKING:
    from glagol.gateway.http.views import RecordingView

__all__ = ["HANDLERS", "OPEN"]

OPEN: Final = frozenset({"/signin", *(f"/language/{each}" for each in LANGUAGES)})
"""Pages that need no sign-in."""

_YEAR_S: Final = 31_536_000
_ROWS: Final = 50
_OPEN_ROWS: Final = 200
_HITS: Final = 50
_WORK: Final = frozenset({"uploading", "queued", "running"})
_TABS: Final = ("speakers", "source", "history")


def _of_recording(request: GatewayRequest) -> dict[str, Any]:
    t = words(language_of(request))
    return {"says": lambda r: states.says(t, r), "chip": states.chip}


@get("/", include_in_schema=False)
@shown
async def home(request: GatewayRequest) -> Response[Any]:
    """What is in work, the recordings, a form; for programs what this server is."""
    state = await views.state(request)
    if "text/html" not in request.headers.get("accept", ""):
        about = {"name": "glagol", "version": VERSION, "docs": "/docs", "ready": "/ready"}
        return Response(msgspec.json.encode(about) + b"\n", media_type="application/json")
    service, allowed = service_of(request), await folders_of(request)
    some = await on_disk(request, views.recordings, service, allowed, limit=_ROWS)
    work = await on_disk(
        request, views.recordings, service, allowed, limit=_OPEN_ROWS, state="open"
    )
    folders = await on_disk(request, folder_rows.some, service.library.db, allowed)
    voices = any(m.role == "speakers" and m.here for m in await service.models.of("asr"))
    t = words(language_of(request))
    body = await framed(
        request,
        "home.html",
        script="home.js",
        data={"state": state},
        here="home",
        state=state,
        lines=states.lines(t, state),
        folders=folders,
        voices=voices,
        done=[each for each in some.recordings if each.state not in _WORK],
        open=work.recordings,
        **_of_recording(request),
    )
    return html(body)


@get("/r/{identity:str}", include_in_schema=False)
@shown
async def recording(request: GatewayRequest, identity: FromPath[str]) -> Response[Any]:
    """A recording: its text, its sound, its speakers, where it comes from."""
    state, found = await _found(request, identity)
    t = words(language_of(request))
    lines = [each for each in states.lines(t, state) if each.service == "llm" or each.title]
    body = await framed(
        request,
        "recording.html",
        script="recording.js",
        data={"state": state, "recording": found},
        state=state,
        r=found,
        lines=lines,
        tabs=_TABS,
        query=request.query_params.get("q", "")[:200],
        **_of_recording(request),
    )
    return html(body)


@get("/r/{identity:str}/plain", include_in_schema=False)
@shown
async def plain(request: GatewayRequest, identity: FromPath[str]) -> Response[Any]:
    """The text of a recording without any script; of the machine with `original=N`."""
    state, found = await _found(request, identity)
    asked = request.query_params.get("original", "0")
    original = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 4 else 0
    text, t = None, words(language_of(request))
    if found.text_sha256:
        service, allowed = service_of(request), await folders_of(request)
        text = await on_disk(request, views.text, service, identity, allowed, original)
    body = await framed(
        request,
        "plain.html",
        state=state,
        r=found,
        text=text,
        original=original,
        speakers={} if text is None else states.speakers(t, text),
        proofread="" if text is None else states.proofread(t, text),
        **_of_recording(request),
    )
    return html(body)


@get("/search", include_in_schema=False)
@shown
async def search(request: GatewayRequest) -> Response[Any]:
    """What a search of all recordings finds."""
    query = str(request.query_params.get("q", "")).strip()[:200]
    found = None
    if query:
        service, allowed = service_of(request), await folders_of(request)
        found = await on_disk(request, views.hits, service, query, allowed, limit=_HITS)
    body = await framed(
        request, "search.html", here="search", query=query, found=found, marks=states.marks
    )
    return html(body)


@get("/settings", include_in_schema=False)
@shown
async def settings(request: GatewayRequest) -> Response[Any]:
    """Folders and how long they keep, services, language, theme, keys of the keyboard."""
    state = await views.state(request)
    allowed = await folders_of(request)
    folders = await on_disk(request, folder_rows.some, service_of(request).library.db, allowed)
    body = await framed(
        request,
        "settings.html",
        here="settings",
        state=state,
        folders=folders,
        services=_services(state.services),
        origin=f"{request.url.scheme}://{request.url.netloc}",
    )
    return html(body)


@get("/signin", include_in_schema=False)
@shown
async def signin(request: GatewayRequest) -> Response[Any]:
    """Where people sign in with a key."""
    query = request.query_params
    body = await framed(
        request,
        "signin.html",
        chrome=False,
        next=_inside(query.get("next", "/")),
        failed="failed" in query,
        off=service_of(request).door.signin() == "none",
    )
    return html(body)


@get("/language/{code:str}", include_in_schema=False)
async def language(request: GatewayRequest, code: FromPath[str]) -> Response[bytes]:
    """Speak this language from now on, and go back."""
    headers = {"location": _inside(request.query_params.get("next", "/"))}
    if code in LANGUAGES:
        headers["set-cookie"] = f"{LANGUAGE}={code}; Path=/; Max-Age={_YEAR_S}; SameSite=Strict"
    return Response(b"", status_code=303, headers=headers)


@get("/assets/{digest:str}/{name:str}", include_in_schema=False)
async def assets(
    request: GatewayRequest, digest: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """A file that pages load; kept by browsers for a year.

    Raises:
        InputError: `not_found`.
    """
    found = (await on_disk(request, render.assets)).get(name)
    if found is None or digest != render.digest():
        raise InputError("not_found", "there is no such file", "reload the page")
    headers = {
        "cache-control": f"public, max-age={_YEAR_S}, immutable",
        "vary": "accept-encoding",
    }
    body = found.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"], body = "gzip", found.pressed
    return Response(body, headers=headers, media_type=found.media_type)


async def _found(request: GatewayRequest, identity: str) -> tuple[views.StateView, RecordingView]:
    service, allowed = service_of(request), await folders_of(request)
    found = await on_disk(request, views.recording, service, identity, allowed)
    return await views.state(request), found


def _services(standings: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    known = ("asr", "llm", "embed", "rag")
    return [(each, standings[each]) for each in known if each in standings]


def _inside(way: str) -> str:
    """A path of this server; `/` for anything else that a link may say."""
    parts = urlsplit(way)
    own = way.startswith("/") and not way.startswith(("//", "/\\")) and way.isprintable()
    return way if own and way.isascii() and not parts.netloc and not parts.scheme else "/"


HANDLERS: Final = [home, recording, plain, search, settings, signin, language, assets]
