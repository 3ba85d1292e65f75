"""What one caller holds of the server's pools does not keep another out, nor does a hung queue."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import sounds
from asr.bench import Bench
from glagol.asr.http.request import BODIES_MAX, READERS_MAX
from glagol.core.errors import LimitError
from glagol.jobs.waiting import Waiting

MALLORY, ALICE = ("192.0.2.1", 1), ("192.0.2.2", 1)


class Request:
    """One request to the application, from an address; its body may never end."""

    def __init__(self, client: tuple[str, int], line: str, body: bytes, *, whole: bool) -> None:
        self.method, self.path = line.split(" ")
        self.client = client
        self.left = [(body, not whole)]
        self.gone = asyncio.Event()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.answer = b""

    async def receive(self) -> Any:
        if self.left:
            body, more = self.left.pop()
            return {"type": "http.request", "body": body, "more_body": more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.answer += message.get("body", b"")

    async def run(self, bench: Bench) -> Request:
        """Ask, to the end of the answer."""
        path, _, query = self.path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": self.method, "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "headers": [(b"host", b"localhost")],
            "client": self.client, "server": ("localhost", 80),
        }  # fmt: skip
        await bench.app(scope, self.receive, self.send)
        return self

    @property
    def code(self) -> str:
        """The error code of the answer."""
        return str(json.loads(self.answer)["error"]["code"])


async def begun(bench: Bench, *requests: Request) -> list[asyncio.Task[Request]]:
    """Tasks of requests that have come as far as they come."""
    tasks = [asyncio.create_task(each.run(bench)) for each in requests]
    for _ in range(200):
        await asyncio.sleep(0)
    return tasks


async def ended(tasks: list[asyncio.Task[Request]]) -> None:
    """End what still runs."""
    for each in tasks:
        each.cancel()
    for each in tasks:
        with suppress(asyncio.CancelledError):
            await each


def test_stalled_bodies_leave_room_for_another(bench: Bench) -> None:
    """64 of them from one address: its share stays, the rest is refused, another is served."""

    async def run() -> None:
        bodies = [Request(MALLORY, "PUT /v1/transcribe", b"R", whole=False) for _ in range(64)]
        tasks = await begun(bench, *bodies)
        refused = [each for each in bodies if each.status]
        assert BODIES_MAX - len(refused) == bench.service.bodies.used == 42
        assert {(each.status, each.code) for each in refused} == {(429, "share_used")}
        assert all(int(each.headers[b"retry-after"]) >= 1 for each in refused)
        other = Request(ALICE, "PUT /v1/transcribe", sounds.clip(), whole=True)
        assert (await other.run(bench)).status == 200
        await ended(tasks)
        assert bench.service.bodies.used == 0

    asyncio.run(run())


def test_a_body_without_a_place_is_refused_before_the_routes(bench: Bench) -> None:
    """It comes no further than the layers, whatever it asks; a request without a body does."""

    async def run() -> None:
        holders = [Request(MALLORY, "PUT /v1/transcribe", b"R", whole=False) for _ in range(42)]
        tasks = await begun(bench, *holders)

        async def code(line: str, client: tuple[str, int] = MALLORY) -> str:
            return (await Request(client, line, b"R", whole=True).run(bench)).code

        assert await code("PUT /v1/transcribe?format=none") == "share_used"
        assert await code("POST /v1/audio/transcriptions") == "share_used"
        assert await code("PUT /v1/transcribe?format=none", ALICE) == "option_invalid"
        assert await code("PUT /v1/transcribe?upload=none&format=none") == "option_invalid"
        assert await code("PUT /v1/nothing") == "not_found"
        await ended(tasks)

    asyncio.run(run())


def test_a_burst_of_readers_takes_its_share_and_no_more(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """300 at once; what they held is free again when they have gone."""
    bench = make_bench(state=str(tmp_path))
    bench.stub.gate.clear()

    async def run() -> None:
        put = Request(MALLORY, "PUT /v1/transcribe?async=true", sounds.clip(), whole=True)
        path = "/v1/jobs/" + json.loads((await put.run(bench)).answer)["data"]["id"]
        readers = [Request(MALLORY, f"GET {path}/events", b"", whole=True) for _ in range(300)]
        tasks = [asyncio.create_task(each.run(bench)) for each in readers]
        while not all(each.status for each in readers):
            await asyncio.sleep(0.01)
        taken = [each for each in readers if each.status == 200]
        assert READERS_MAX > len(taken) == bench.service.readers.used == 168
        assert {each.code for each in readers if each.status != 200} == {"share_used"}
        other = Request(ALICE, f"GET {path}/events", b"", whole=True)
        tasks.append(asyncio.create_task(other.run(bench)))
        while not other.status:
            await asyncio.sleep(0.01)
        assert other.status == 200
        await ended(tasks)
        assert bench.service.readers.used == 0

    try:
        asyncio.run(run())
    finally:
        bench.stub.gate.set()


def test_a_queue_that_does_not_answer_delays_no_other_request(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Every thread for the queue waits, and so do more requests for it; speech is transcribed."""
    bench, answers = make_bench(state=str(tmp_path)), threading.Event()
    jobs = bench.service.jobs
    assert jobs is not None
    page = jobs.queue.page

    def hung(**arguments: Any) -> Any:
        answers.wait(30)
        return page(**arguments)

    jobs.queue.page = hung  # type: ignore[method-assign]

    async def run() -> None:
        lists = [Request(MALLORY, "GET /v1/jobs", b"", whole=True) for _ in range(64)]
        tasks = await begun(bench, *lists)
        assert not any(each.status for each in lists)
        for line in ("PUT /v1/transcribe", "GET /health"):
            body = sounds.clip() if line.startswith("PUT") else b""
            async with asyncio.timeout(10):
                found = await Request(ALICE, line, body, whole=True).run(bench)
            assert found.status == 200
        answers.set()
        await asyncio.gather(*tasks)
        assert {each.status for each in lists} == {200}

    try:
        asyncio.run(run())
    finally:
        answers.set()


def test_waiting_jobs_are_shared() -> None:
    """By what this process put; those that were there before count for no owner."""
    waiting, put = Waiting(), 656  # three quarters of seven eighths of 1000
    for turn in range(put):
        waiting.admit("mallory", turn, 1000)
        waiting.add("mallory")
    with pytest.raises(LimitError) as caught:
        waiting.admit("mallory", put, 1000)
    assert caught.value.code == "share_used"
    waiting.admit("alice", put, 1000)
    waiting.add("alice")
    with pytest.raises(LimitError):
        waiting.admit("mallory", put + 1, 1000)
    waiting.admit("mallory", 100, 1000)  # the oldest are done
    with pytest.raises(LimitError, match="1000 jobs wait already") as caught:
        waiting.admit("carol", 1000, 1000)
    assert caught.value.code == "queue_full"
