"""Search by meaning: what rag-server is asked, and the loop that gives it changes.

The rows of the library's outbox are the only state: a kill at any moment loses none of them, and
a change that is received twice costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from glagol.core import journal
from glagol.core.errors import HostError, InputError, LimitError
from glagol.core.executors import call
from glagol.gateway.work import outbox
from glagol.web import envelope, sse

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from glagol.gateway.library.library import Library
    from glagol.gateway.work.services import Client

__all__ = ["Answer", "Hit", "Hits", "Indexer", "Search", "Sentence"]

_TURN_S: Final = 0.5
_AWAY_S: Final = 3.0
_INDEX_S: Final = 900.0
_ASK_S: Final = 300.0
_RETRY: Final = 500


class Hit(msgspec.Struct, frozen=True):
    """A turn that search found: recording, seconds, speaker, and its place on each way."""

    recording: str
    start: float
    end: float
    speaker: str = ""
    found_by: dict[str, int | None] = {}


class Sentence(msgspec.Struct, frozen=True):
    """A sentence of an answer; `citations` count hits from 1."""

    text: str
    citations: tuple[int, ...] = ()
    supported: bool = True


class Hits(msgspec.Struct, frozen=True):
    """What a search found."""

    hits: tuple[Hit, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What rag-server answers to a question."""

    found: bool
    by_model: bool = False
    sentences: tuple[Sentence, ...] = ()
    hits: tuple[Hit, ...] = ()


class _Known(msgspec.Struct, frozen=True):
    id: str


class _List(msgspec.Struct, frozen=True):
    recordings: list[_Known]


class _Envelope(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class Search:
    """What rag-server is asked.

    Args:
        client: Of the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, identity: str, body: bytes) -> None:
        """Put a recording into the index in the place of what is there.

        Raises:
            InputError: The server refuses it, by its own code.
            HostError: `upstream_unreachable`; ask again.
        """
        await self._ask("PUT", f"/v1/recordings/{identity}", content=body, timeout=_INDEX_S)

    async def forget(self, identity: str) -> None:
        """Leave nothing of a recording in the index; an unknown one is no error.

        Raises:
            HostError: `upstream_unreachable`; ask again.
        """
        try:
            await self._ask("DELETE", f"/v1/recordings/{identity}", timeout=_INDEX_S)
        except InputError as error:
            if error.code != "not_found":
                raise

    async def known(self) -> set[str]:
        """Ids of the recordings in the index.

        Raises:
            HostError: `upstream_unreachable`.
        """
        found = msgspec.json.decode(await self._ask("GET", "/v1/recordings"), type=_List)
        return {each.id for each in found.recordings}

    async def search(self, wish: dict[str, Any]) -> Hits:
        """Hits of a search; `wish` is the body of /v1/search, and raises as `put`."""
        body = await self._ask("POST", "/v1/search", json=wish, timeout=_ASK_S)
        return msgspec.json.decode(body, type=Hits)

    async def ask(self, wish: dict[str, Any]) -> Answer:
        """The answer to a question; `wish` is the body of /v1/ask, and raises as `put`."""
        body = await self._ask("POST", "/v1/ask", json=wish, timeout=_ASK_S)
        return msgspec.json.decode(body, type=Answer)

    async def raw(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        """The whole answer of a route, for programs; raises as `put`."""
        body = await self._ask("POST", path, json=wish, timeout=_ASK_S)
        return msgspec.json.decode(body, type=dict[str, Any])

    async def events(self, wish: dict[str, Any]) -> AsyncGenerator[sse.Event]:
        """The answer of /v1/ask, event by event; raises as `put`."""
        body, reader = {**wish, "stream": True}, sse.Reader()
        try:
            async with self._client.stream("POST", "/v1/ask", json=body, timeout=_ASK_S) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _refusal(answer)
                async for piece in answer.aiter_bytes():
                    for event in reader.feed(piece):
                        yield event
        except httpx.HTTPError as error:
            raise _unreachable(type(error).__name__) from error

    async def _ask(self, method: str, path: str, **rest: Any) -> bytes:
        try:
            answer = await self._client.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise _unreachable(type(error).__name__) from error
        if answer.is_success:
            return bytes(msgspec.json.decode(answer.content, type=_Envelope).data)
        raise _refusal(answer)


class Indexer:
    """The loop.

    Args:
        library: What changed.
        search: Receives it.
        disk: Threads that wait for the library.
    """

    def __init__(self, library: Library, search: Search, disk: Executor) -> None:
        self._library = library
        self._search = search
        self._disk = disk
        self._compared = False

    async def run(self) -> None:
        """Work until the task is cancelled."""
        while True:
            try:
                await self.turn()
                pause_s = _TURN_S
            except (HostError, LimitError) as error:
                if self._compared:
                    journal.error("search waits", error, level=logging.WARNING)
                self._compared, pause_s = False, _AWAY_S
            except Exception:  # noqa: BLE001 - the loop outlives bugs; the log has the traceback
                journal.write("unexpected exception", level=logging.ERROR, error=True)
                pause_s = _AWAY_S
            await asyncio.sleep(pause_s)

    async def turn(self) -> None:
        """Give search everything that has changed.

        The first time, and when it was away, what it knows is compared with the library: so an
        index that was removed is filled again.

        Raises:
            HostError: `upstream_unreachable`; the library's disk.
            LimitError: The server is busy.
        """
        database = self._library.db
        if not self._compared:
            lost = await call(self._disk, outbox.differences, database, await self._search.known())
            await call(self._disk, outbox.mark, database, lost)
            self._compared = True
        for change in await call(self._disk, outbox.changes, database):
            await self._give(change)

    async def _give(self, change: outbox.Change) -> None:
        body = await call(self._disk, outbox.put_of, self._library.db, change.recording)
        try:
            if body is None:
                await self._search.forget(change.recording)
            else:
                await self._search.put(change.recording, body)
        except InputError as error:  # its verdict about this recording alone
            journal.error("a recording is not searched", error, level=logging.WARNING)
            await self._search.forget(change.recording)
        await call(self._disk, outbox.taken, self._library.db, change)


def _refusal(answer: httpx.Response) -> InputError | LimitError | HostError:
    """Why an answer, read whole, is none: the caller's error, or the server is away."""
    failure = envelope.received(answer.content).error()
    if answer.status_code >= _RETRY or not isinstance(failure, InputError | LimitError):
        return _unreachable(failure.code if failure else f"status {answer.status_code}")
    return failure


def _unreachable(why: str) -> HostError:
    return HostError(
        "upstream_unreachable",
        f"search by meaning does not answer ({why})",
        "try again in a moment; search by words works without it",
    )
