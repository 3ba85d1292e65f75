"""`POST /v1/summarize`: sources, refusals, events, and what happens when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.datastructures import State
from litestar.testing import TestClient

from glagol.core.errors import HostError
from glagol.llm.summarize.asr_client import Recordings
from glagol.llm.summarize.routes import HANDLERS, SummaryService
from glagol.web import errors
from glagol.web.request_log import Observed
from llm.summarize.test_summarize import FakeModel, summarizer

JOB = "0123456789ab"
TRANSCRIPT = {
    "text": "добрый день",
    "language": "ru",
    "segments": [{"start": 0.5, "end": 2.0, "text": "добрый день", "words": []}],
}


class Deaf:
    """A watcher that counts nothing."""

    def began(self) -> None:
        """Ignored."""

    def ended(self, *_: Any) -> None:
        """Ignored."""


def asr(request: httpx.Request) -> httpx.Response:
    """An asr-server with one finished job, for one key."""
    if request.headers.get("authorization") != "Bearer good":
        error = {"code": "key_refused", "message": "unknown", "remedy": "ask", "request_id": "x"}
        return httpx.Response(401, json={"success": False, "data": None, "error": error})
    if request.url.path != f"/v1/jobs/{JOB}/result":
        error = {"code": "job_unknown", "message": "none", "remedy": "look", "request_id": "x"}
        return httpx.Response(404, json={"success": False, "data": None, "error": error})
    return httpx.Response(200, json={"success": True, "data": TRANSCRIPT, "error": None})


def service_of(model: FakeModel, **rest: Any) -> SummaryService:
    """A service with one model and one asr-server."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(asr), base_url="http://asr")
    return SummaryService(lambda: summarizer(model), ("tiny", "a/tiny"), Recordings(client), **rest)


def application(service: SummaryService) -> Any:
    """The route alone, with errors and ids as every server has them."""
    app = Litestar(
        HANDLERS,
        exception_handlers={Exception: errors.answer},
        state=State({"summaries": service, "speaker": errors.Speaker((), lambda: 1)}),
        logging_config=None,
    )
    inner: Any = app
    return Observed(inner, Deaf(), ["/v1/summarize"])


@contextmanager
def served(service: SummaryService) -> Iterator[TestClient[Any]]:
    """A client of it."""
    with TestClient(application(service)) as client:
        yield client


def events(body: str) -> list[tuple[str, dict[str, Any]]]:
    """Server-sent events as (name, data)."""
    blocks = [block.split("\n") for block in body.strip().split("\n\n")]
    return [(b[0][7:], json.loads(b[1][6:])) for b in blocks if b[0].startswith("event: ")]


@pytest.mark.parametrize(
    "source", [{"text": "добрый день"}, {"transcript": TRANSCRIPT}, {"job": JOB}]
)
def test_every_source_is_summarised(source: dict[str, Any]) -> None:
    """Text, transcript, job; times where there are any; the same envelope."""
    with served(service_of(FakeModel())) as client:
        answer = client.post("/v1/summarize", json=source, headers={"authorization": "Bearer good"})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["coverage"]["segments"] == data["coverage"]["covered"] == 1
    times = {"id": "s1", "start": 0.5, "end": 2.0}
    expected = {"id": "s1", "start": None, "end": None} if "text" in source else times
    assert data["key_points"][0]["segments"] == [expected]
    assert data["provenance"]["model"] == "fake"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 400, "request_invalid"),
        (b"{}", 400, "request_invalid"),
        (b'{"text": "a", "job": "b"}', 400, "request_invalid"),
        (b'{"text": "a", "surprise": 1}', 400, "request_invalid"),
        (b'{"text": " "}', 400, "text_empty"),
        (b'{"transcript": {"segments": [{"text": ""}]}}', 400, "text_empty"),
        (b'{"text": "a", "language": "tlh"}', 400, "option_invalid"),
        (b'{"text": "a", "model": "gpt"}', 404, "model_unknown"),
        (b'{"job": "../../health"}', 400, "request_invalid"),
        (b'{"job": "ffff"}', 404, "job_unknown"),
    ],
)
def test_what_is_wrong_is_said_and_no_model_is_asked(body: bytes, status: int, code: str) -> None:
    """By code and status."""
    model = FakeModel()
    with served(service_of(model)) as client:
        answer = client.post(
            "/v1/summarize", content=body, headers={"authorization": "Bearer good"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert model.asked == []


def test_a_job_needs_the_callers_own_key() -> None:
    """asr-server's word passes through: without the key there is no transcript to be had."""
    with served(service_of(FakeModel())) as client:
        answer = client.post("/v1/summarize", json={"job": JOB})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_refused")


def test_an_asr_server_that_is_away_is_said() -> None:
    """Not a bug of ours, not the caller's mistake."""

    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(gone), base_url="http://asr")
    for recordings, status in ((Recordings(client), 503), (Recordings(None), 400)):
        service = service_of(FakeModel())
        service.recordings = recordings
        with served(service) as test:
            assert test.post("/v1/summarize", json={"job": JOB}).status_code == status


def test_progress_is_sent_as_events() -> None:
    """Progress that only grows, then the plain answer's envelope, by Accept or by option."""
    text = "\n".join(f"строка {n}" for n in range(400))
    with served(service_of(FakeModel())) as client:
        plain = client.post("/v1/summarize", json={"text": text}).json()
        for body, headers in (
            ({"text": text, "stream": True}, {}),
            ({"text": text}, {"accept": "text/event-stream"}),
        ):
            answer = client.post("/v1/summarize", json=body, headers=headers)
            assert answer.headers["content-type"].startswith("text/event-stream")
            seen = events(answer.text)
            assert seen[-1] == ("result", plain)
            done = [data["done"] for name, data in seen if name == "progress"]
            assert done == sorted(done)
            assert done[-1] == seen[-2][1]["total"]


def test_an_error_after_the_first_event_is_an_event() -> None:
    """With the envelope of a failure."""
    with served(service_of(FakeModel(answer=lambda _: "no"))) as client:
        answer = client.post("/v1/summarize", json={"text": "a", "stream": True})
    name, data = events(answer.text)[-1]
    assert (name, data["error"]["code"]) == ("error", "llm_output_invalid")


def test_a_model_that_is_not_ready_is_a_503() -> None:
    """Before any transcript is fetched."""

    def absent() -> Any:
        raise HostError("not_ready", "starting", "wait")

    service = service_of(FakeModel())
    service.summarizer = absent
    with served(service) as client:
        answer = client.post("/v1/summarize", json={"text": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_client_leaves_the_model_is_let_go(stream: bool) -> None:
    """Every request to the model ends; the place is free again."""

    async def leave() -> None:
        model = FakeModel(wait=lambda: asyncio.sleep(60))
        service = service_of(model, places=1)
        left = asyncio.Event()
        body = json.dumps({"text": "слово\n" * 500, "stream": stream}).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(_: dict[str, Any]) -> None:
            pass

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/summarize",
            "raw_path": b"/v1/summarize",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
        }
        request = asyncio.create_task(application(service)(scope, receive, send))
        while not model.together:
            await asyncio.sleep(0.001)
        assert service.busy == 1
        left.set()
        await asyncio.wait_for(request, 20)
        assert (model.together, service.busy) == (0, 0)

    asyncio.run(leave())


def test_places_are_few() -> None:
    """One more summary is refused with 503 while all are taken."""
    service = service_of(FakeModel(), places=0)
    with served(service) as client:
        answer = client.post("/v1/summarize", json={"text": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert answer.headers["retry-after"] == "1"
