"""The routes of rag-server.

A caller with a key sees the recordings that its key put, and an administrator all: that is part of
every query. An id is unique for its owner; beyond the server it has the owner's name in front.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import GlagolError, InputError
from glagol.core.executors import call
from glagol.core.version import VERSION
from glagol.rag.answers import Answer, answered_from, asked, read
from glagol.rag.http import schemas
from glagol.rag.http.service import RagRequest, service_of
from glagol.rag.library import Hit, Library
from glagol.rag.mentions import Counts
from glagol.rag.scope import Scope
from glagol.rag.turns import from_transcript
from glagol.web import envelope, sse
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
        tags=wish.tags,
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


@post("/v1/counts", summary="Count and list mentions, by facets and over time", status_code=200)
async def count(request: RagRequest) -> Response[bytes]:
    """Turns, recordings and seconds that hold all words of a query, from SQL and never a model.

    Raises:
        InputError: `request_invalid`, for a filter or facet that does not exist too.
        LimitError: `share_used`, `busy`.
        HostError: `not_ready`.
    """
    caller = caller_of(request.scope)
    wish = _read(await request.body(), schemas.Count)
    scope = _scope(wish, caller)

    def work(library: Library) -> tuple[Any, list[Hit]]:
        counts = library.counted(wish.query, scope, wish.by)
        return counts, library.mentions(wish.query, scope, wish.order, wish.limit)

    counts, mentions = await _done(request, work)
    listed = [_hit(hit, caller) for hit in mentions]
    return _json({**_counts(counts, caller), "mentions": listed})


@post("/v1/ask", summary="Answer a question with citations", status_code=200)
async def ask(request: RagRequest) -> Response[Any]:
    """The language model's sentences, each checked; quotes where there is no model; else counts.

    As server-sent events: `hits` before the model is asked, a `sentence` each, `done` or `error`.

    Raises:
        InputError: `request_invalid`, `text_empty`.
        LimitError: `share_used`, `busy`.
        HostError: `not_ready`, `llm_unavailable`, `llm_output_invalid`.
    """
    caller, talk = caller_of(request.scope), service_of(request).talk
    wish = _read(await request.body(), schemas.Ask)
    scope = _scope(wish, caller)

    def work(library: Library) -> Answer:
        return asked(library, wish.query, scope, wish.limit, talk)

    if not wish.stream and "text/event-stream" not in request.headers.get("accept", ""):
        answer = await _done(request, work)
        said = {**_verdict(answer, caller), "sentences": answer.sentences}
        return _json({**said, "hits": [_hit(hit, caller) for hit in answer.hits]})

    def begin(library: Library) -> tuple[tuple[Hit, ...], Answer | None]:
        return read(library, wish.query, scope, wish.limit)

    hits, counted = await _done(request, begin)

    def end(library: Library) -> Answer:
        return counted or answered_from(library, wish.query, hits, talk)

    return sse.respond(_events(request, caller, hits, end))


async def _events(
    request: RagRequest, caller: Caller, hits: tuple[Hit, ...], end: Callable[[Library], Answer]
) -> AsyncIterator[bytes]:
    yield _event("hits", [_hit(hit, caller) for hit in hits])
    try:
        answer: Answer = await _done(request, end)
    except GlagolError as error:
        about = {"code": error.code, "message": error.message, "remedy": error.remedy}
        yield _event("error", about)
        return
    for sentence in answer.sentences:
        yield _event("sentence", sentence)
    yield _event("done", _verdict(answer, caller))


def _event(name: str, value: Any) -> bytes:
    return sse.event(msgspec.json.encode(value), name=name)


def _verdict(answer: Answer, caller: Caller) -> dict[str, Any]:
    counts = None if answer.counts is None else _counts(answer.counts, caller)
    return {"found": answer.found, "by_model": answer.by_model, "counts": counts}


def _counts(counts: Counts, caller: Caller) -> dict[str, Any]:
    facets: dict[str, Any] = dict(counts.facets)
    if "recording" in facets:
        facets["recording"] = [
            replace(each, value=_shown(each.value, caller)) for each in facets["recording"]
        ]
    sums = {"turns": counts.turns, "recordings": counts.recordings, "speech_s": counts.speech_s}
    return {**sums, "facets": facets}


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


def _scope(wish: schemas.Scoped, caller: Caller) -> Scope:
    names = wish.recordings
    return replace(
        _owned(caller),
        folders=None if wish.folders is None else tuple(wish.folders),
        recordings=None if names is None else tuple(_known(name, caller) for name in names),
        speakers=None if wish.speakers is None else tuple(wish.speakers),
        channels=None if wish.channels is None else tuple(wish.channels),
        tags=None if wish.tags is None else tuple(wish.tags),
        confidence=wish.confidence,
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
        "channel": turn.channel,
        "text": turn.text,
        "confidence": turn.confidence,
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
    *(put_recording, forget_recording, recordings, search, ask, count),
]
