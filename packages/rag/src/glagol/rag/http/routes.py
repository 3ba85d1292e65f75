"""The routes of rag-server.

A caller with a key sees the recordings that its key put, and an administrator all: that is part of
every query. An id is unique for its owner; beyond the server it has the owner's name in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.core.executors import call
from glagol.core.version import VERSION
from glagol.rag.answers import answered, extracts
from glagol.rag.http import schemas
from glagol.rag.http.service import RagRequest, service_of
from glagol.rag.library import Hit, Library
from glagol.rag.scope import Scope
from glagol.rag.turns import from_transcript
from glagol.web import envelope
from glagol.web.access.auth import Caller, caller_of
from glagol.web.access.owner import owner_of
from glagol.web.metrics import MEDIA_TYPE

__all__ = ["HANDLERS"]

BODY_BYTES_MAX: Final = 64 << 20
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SEPARATOR: Final = "/"
T = TypeVar("T", bound=msgspec.Struct)


@get("/", include_in_schema=False, sync_to_thread=False)
def home(request: RagRequest) -> Response[bytes]:
    """Name and version."""
    del request
    return _json({"name": "Glagol rag-server", "version": VERSION, "docs": "/docs"})


@get("/health", summary="The process answers", sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about model and index."""
    return _json({"status": "alive"})


@get("/ready", summary="Model and index are open", sync_to_thread=False)
def ready(request: RagRequest) -> Response[bytes]:
    """Readiness: 503 with the reason until model and index are open.

    Raises:
        HostError: `not_ready`, `host_io`.
        IntegrityError: `artifact_missing`, `artifact_altered`, `artifact_unpinned`.
    """
    service = service_of(request)
    library = service.opening.library()
    answers = "model" if service.talk else "quotes"
    return _json({"status": "ready", "answers": answers, "provenance": library.provenance})


@get("/metrics", summary="Prometheus metrics", sync_to_thread=False)
def metrics(request: RagRequest) -> Response[bytes]:
    """Text format."""
    return Response(service_of(request).metrics.text(), media_type=MEDIA_TYPE)


@put(
    "/v1/recordings/{name:str}",
    summary="Put a transcript into the index",
    status_code=200,
    request_max_body_size=BODY_BYTES_MAX,
)
async def put_recording(request: RagRequest, name: FromPath[str]) -> Response[bytes]:
    """In the place of what was there under the id; the same again costs nothing.

    Raises:
        InputError: `request_invalid`, `text_empty`.
        LimitError: `share_used`, `busy`.
        HostError: `not_ready`, `disk_full`, `host_io`.
    """
    caller = caller_of(request.scope)
    wish = _read(await request.body(), schemas.Put)
    recording = from_transcript(
        wish.transcript,
        _known(name, caller),
        owner=caller.name,
        folder=wish.folder,
        title=wish.title or name,
        date=wish.date,
    )

    def work(library: Library) -> bool:
        fresh = library.put(recording)
        if fresh:
            detail = f"{recording.id} {recording.digest}"
            service_of(request).noted("indexed", request, library.provenance, detail)
        return fresh

    fresh = await _done(request, work)
    return _json({"id": name, "turns": len(recording.turns), "changed": fresh})


@delete("/v1/recordings/{name:str}", summary="Forget a recording", status_code=200)
async def forget_recording(request: RagRequest, name: FromPath[str]) -> Response[bytes]:
    """No file keeps a byte of it when this is answered.

    Raises:
        InputError: `not_found`, `request_invalid`.
        HostError: `not_ready`, `disk_full`, `host_io`.
    """
    known = _known(name, caller_of(request.scope))

    def work(library: Library) -> bool:
        there = library.forget(known)
        if there:
            service_of(request).noted("forgotten", request, library.provenance, known)
        return there

    if not await _done(request, work):
        raise InputError("not_found", f"{name} is not in the index", "see GET /v1/recordings")
    return _json({"id": name, "forgotten": True})


@get("/v1/recordings", summary="The recordings in the index")
async def recordings(request: RagRequest) -> Response[bytes]:
    """Id, title, number of turns and seconds of speech of each recording that the caller sees.

    Raises:
        HostError: `not_ready`.
    """
    caller = caller_of(request.scope)
    found = await _done(request, lambda library: library.counts(_owned(caller)))
    rows = [
        {"id": _shown(name, caller), "title": title, "turns": turns, "speech_s": round(seconds, 3)}
        for name, title, turns, seconds in found
    ]
    return _json({"recordings": rows})


@post("/v1/search", summary="Search by meaning and by words", status_code=200)
async def search(request: RagRequest) -> Response[bytes]:
    """Hits with recording, time, speaker, neighbours, and the place on each way.

    Raises:
        InputError: `request_invalid`, `text_empty`.
        LimitError: `share_used`, `busy`.
        HostError: `not_ready`.
    """
    caller = caller_of(request.scope)
    wish = _read(await request.body(), schemas.Search)
    scope = _scope(wish, caller)
    hits = await _done(request, lambda library: library.search(wish.query, scope, wish.limit))
    return _json({"hits": [_hit(hit, caller) for hit in hits]})


@post("/v1/ask", summary="Answer a question with citations", status_code=200)
async def ask(request: RagRequest) -> Response[bytes]:
    """The language model's sentences, each checked; quotes where there is no model.

    Raises:
        InputError: `request_invalid`, `text_empty`.
        LimitError: `share_used`, `busy`.
        HostError: `not_ready`, `llm_unavailable`, `llm_output_invalid`.
    """
    caller, talk = caller_of(request.scope), service_of(request).talk
    wish = _read(await request.body(), schemas.Ask)
    scope = _scope(wish, caller)

    def work(library: Library) -> Any:
        hits = library.search(wish.query, scope, wish.limit)
        return answered(wish.query, hits, talk) if talk else extracts(hits)

    answer = await _done(request, work)
    hits = [_hit(hit, caller) for hit in answer.hits]
    said = {"found": answer.found, "by_model": answer.by_model, "sentences": answer.sentences}
    return _json({**said, "hits": hits})


async def _done(request: RagRequest, work: Callable[[Library], Any]) -> Any:
    """Do something with the library in a thread, in a place of the caller's share."""
    service = service_of(request)
    library = service.opening.library()
    with service.places.held(owner_of(request.scope)):
        return await call(service.work, work, library)


def _read(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            "request_invalid", f"the body is not as it must be: {error}", "see /docs"
        ) from error


def _owned(caller: Caller) -> Scope:
    return Scope() if caller.admin else Scope(owners=(caller.name,))


def _scope(wish: schemas.Search, caller: Caller) -> Scope:
    names = wish.recordings
    return replace(
        _owned(caller),
        folders=None if wish.folders is None else tuple(wish.folders),
        recordings=None if names is None else tuple(_known(name, caller) for name in names),
        speakers=None if wish.speakers is None else tuple(wish.speakers),
        since=wish.since,
        until=wish.until,
    )


def _known(name: str, caller: Caller) -> str:
    """The id in the index of a recording that a caller calls `name`."""
    owner, separator, own = name.rpartition(_SEPARATOR)
    if not _ID.fullmatch(own) or (separator and not (caller.admin and _ID.fullmatch(owner))):
        raise InputError(
            "request_invalid", f"{name[:160]!r} is no id", f"an id matches {_ID.pattern}"
        )
    return name if separator or not caller.name else f"{caller.name}{_SEPARATOR}{name}"


def _shown(known: str, caller: Caller) -> str:
    return known.removeprefix(f"{caller.name}{_SEPARATOR}") if caller.name else known


def _hit(hit: Hit, caller: Caller) -> dict[str, Any]:
    turn = hit.turn
    return {
        "recording": _shown(turn.recording, caller),
        "title": turn.title,
        "date": turn.date,
        "start": turn.start_s,
        "end": turn.end_s,
        "speaker": turn.speaker,
        "text": turn.text,
        "found_by": {"meaning": hit.by_meaning, "words": hit.by_words},
        "around": [
            {"start": each.start_s, "end": each.end_s, "speaker": each.speaker, "text": each.text}
            for each in hit.around
        ],
    }


def _json(value: Any) -> Response[bytes]:
    body = envelope.success(msgspec.json.encode(value))
    return Response(body, media_type="application/json")


HANDLERS: Final = [
    *(home, health, ready, metrics),
    *(put_recording, forget_recording, recordings, search, ask),
]
