"""Search by meaning and answers, narrowed to what the person may read.

rag-server has all recordings under the gateway's one key. So every question goes to it with the
folders that the person may read, as part of the query, and what comes back is looked up in the
library again: pages show the library's text, and nothing that was changed, moved or deleted since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import post
from litestar.response import Response

from glagol.core.errors import HostError, InputError
from glagol.gateway.http.request import (
    GatewayRequest,
    folders_of,
    on_disk,
    readable,
    service_of,
)
from glagol.gateway.library import texts
from glagol.web import envelope, sse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from glagol.gateway.service import Service
    from glagol.gateway.work.search import Answer, Hit, Search

__all__ = ["HANDLERS", "QUERY_MAX", "AskView", "QuoteView", "ask", "meant"]

QUERY_MAX: Final = 1000
"""Characters of a question on a page; programs have rag-server's own limit."""

_LIMIT: Final = 6
_MEANT: Final = 8
_SLACK_MS: Final = 1  # times travel as seconds


class QuoteView(msgspec.Struct, frozen=True):
    """What was said at one place of a recording; `number` is what sentences cite."""

    number: int
    recording: str
    title: str
    created_s: float
    start_ms: int
    speaker: str
    name: str
    text: str


class SentenceView(msgspec.Struct, frozen=True):
    """A sentence of an answer, with the quotes that it rests on."""

    text: str
    cited: tuple[QuoteView, ...]
    supported: bool


class AskView(msgspec.Struct, frozen=True):
    """An answer: sentences of a language model, or without one the quotes alone."""

    query: str
    found: bool
    by_model: bool
    sentences: tuple[SentenceView, ...]
    quotes: tuple[QuoteView, ...]


async def ask(request: GatewayRequest, query: str) -> AskView:
    """The answer to a person's question.

    Raises:
        InputError: `not_found`, there is no rag-server; rag-server's own.
        HostError: `upstream_unreachable`.
    """
    service, allowed = service_of(request), await folders_of(request)
    said = await _search(service).ask(_wish(query, allowed, _LIMIT))
    quotes = await on_disk(request, _quotes, service, said.hits, allowed)
    sentences = _sentences(said, quotes) if said.by_model else ()
    there = tuple(each for each in quotes if each is not None)
    return AskView(query, said.found and bool(there), said.by_model, sentences, there)


async def meant(request: GatewayRequest, query: str) -> tuple[QuoteView, ...]:
    """What fits a query by its meaning; raises as `ask`."""
    service, allowed = service_of(request), await folders_of(request)
    said = await _search(service).search(_wish(query, allowed, _MEANT))
    near = [hit for hit in said.hits if hit.found_by.get("meaning")]
    quotes = await on_disk(request, _quotes, service, near, allowed)
    return tuple(each for each in quotes if each is not None)


@post("/v1/search", summary="Search by meaning and by words", status_code=200)
async def search(request: GatewayRequest) -> Response[bytes]:
    """rag-server's answer, in the folders that the caller may read.

    Raises:
        InputError: `not_found`, there is no rag-server; rag-server's own.
        HostError: `upstream_unreachable`.
    """
    return await _passed(request, "/v1/search", *await _narrowed(request))


@post("/v1/ask", summary="Answer a question with citations", status_code=200)
async def ask_program(request: GatewayRequest) -> Response[Any]:
    """As `search`, and as events where the caller wants them; raises as it, before any event."""
    wish, allowed = await _narrowed(request)
    if not wish.get("stream") and "text/event-stream" not in request.headers.get("accept", ""):
        return await _passed(request, "/v1/ask", wish, allowed)
    service = service_of(request)
    events = _search(service).events(wish)
    first = await anext(events)
    if first.name == "hits":
        hits = msgspec.json.decode(first.data, type=list[dict[str, Any]])
        await on_disk(request, _check, service, hits, allowed)
    return sse.respond(_events(first, events))


async def _events(first: sse.Event, rest: AsyncGenerator[sse.Event]) -> AsyncIterator[bytes]:
    yield sse.event(first.data, name=first.name)
    try:
        async for each in rest:
            yield sse.event(each.data, name=each.name)
    except HostError as error:
        about = {"code": error.code, "message": error.message, "remedy": error.remedy}
        yield sse.event(msgspec.json.encode(about), name="error")


async def _passed(
    request: GatewayRequest, path: str, wish: dict[str, Any], allowed: Sequence[int]
) -> Response[bytes]:
    service = service_of(request)
    raw = await _search(service).raw(path, wish)
    await on_disk(request, _check, service, raw.get("hits", ()), allowed)
    return Response(envelope.success(msgspec.json.encode(raw)), media_type="application/json")


async def _narrowed(request: GatewayRequest) -> tuple[dict[str, Any], list[int]]:
    """The body of a request in the folders that its caller may read, and those folders."""
    allowed, wish = await folders_of(request), _body(await request.body())
    may = [str(each) for each in allowed]
    asked = wish.get("folders")
    narrowed = [each for each in may if each in asked] if isinstance(asked, list) else may
    return {**wish, "folders": narrowed}, allowed


def _check(service: Service, hits: Sequence[dict[str, Any]], allowed: Sequence[int]) -> None:
    for identity in {str(hit.get("recording")) for hit in hits}:
        try:
            readable(service, identity, allowed)
        except InputError as error:
            raise HostError(
                "upstream_unreachable",
                "search has not received a change of the library yet",
                "try again in a moment",
            ) from error


def _body(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            "request_invalid", f"the body is not as it must be: {error}", "see /docs"
        ) from error


def _search(service: Service) -> Search:
    if service.search is None:
        raise InputError("not_found", "there is no search by meaning here", "set GATEWAY_RAG_URL")
    return service.search


def _wish(query: str, allowed: Sequence[int], limit: int) -> dict[str, Any]:
    return {"query": query, "folders": [str(each) for each in allowed], "limit": limit}


def _quotes(
    service: Service, hits: Sequence[Hit], allowed: Sequence[int]
) -> list[QuoteView | None]:
    """The library's text of each hit; None where it is not there any more."""
    return [_quote(service, number, hit, allowed) for number, hit in enumerate(hits, 1)]


def _quote(service: Service, number: int, hit: Hit, allowed: Sequence[int]) -> QuoteView | None:
    try:
        row = readable(service, hit.recording, allowed)
    except InputError:
        return None
    start, end = round(1000 * hit.start), round(1000 * hit.end)
    with service.library.db.reading() as db:
        found = texts.between(db, row.number, start - _SLACK_MS, end)
        names = texts.names(db, row.number)
    if not found:
        return None
    key, text = found[0].speaker, " ".join(each.text for each in found)
    name = names.get(key, "")
    return QuoteView(number, row.id, row.title, row.created_s, start, key, name, text)


def _sentences(said: Answer, quotes: Sequence[QuoteView | None]) -> tuple[SentenceView, ...]:
    """What a model wrote, but for sentences that rest on what is not there any more."""
    shown = []
    for each in said.sentences:
        cited = [quotes[n - 1] for n in each.citations if 1 <= n <= len(quotes)]
        there = tuple(quote for quote in cited if quote is not None)
        if len(there) == len(cited):
            shown.append(SentenceView(each.text, there, each.supported))
    return tuple(shown)


HANDLERS: Final = [search, ask_program]
