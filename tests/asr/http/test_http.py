"""The HTTP contract up to the model: envelope, options, limits, queue, cancellation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

import sounds
from asr.bench import Bench
from glagol.asr.http import schemas
from glagol.core.errors import CODES, IntegrityError, LimitError
from glagol.core.journal import JsonLines
from glagol.speech.output.formats import FORMATS
from glagol.speech.types import Options
from glagol.web import envelope

URL = "/v1/transcribe"
SOUND = sounds.silence(0.2)


def error(answer: httpx.Response, code: str) -> envelope.ErrorBody:
    """The error of a strict envelope, with the status that the table gives its code."""
    assert answer.headers["content-type"] == "application/json"
    body = msgspec.json.decode(answer.content, type=envelope.Failure).error
    assert body.code == code
    assert answer.status_code == (CODES[code].http_status if code in CODES else 500)
    assert body.message
    assert body.remedy
    assert body.request_id == answer.headers["x-request-id"]
    return body


def test_success_is_the_envelope(bench: Bench) -> None:
    """Strictly success, data, error; the same data for POST and PUT."""
    posted = bench.send("POST", URL, files={"file": ("запись.wav", SOUND)})
    put = bench.send("PUT", URL, content=SOUND)
    assert posted.status_code == put.status_code == 200
    assert posted.content == put.content
    answer = msgspec.json.decode(posted.content, type=schemas.Envelope)
    assert list(json.loads(posted.content)) == ["success", "data", "error"]
    assert answer.data.text == "да"
    assert answer.data.provenance["audio_sha256"]
    assert bench.stub.calls == [(len(SOUND), Options("ru"))] * 2


@pytest.mark.parametrize("where", ["query", "form"])
def test_options_reach_the_model_from_query_and_form(bench: Bench, where: str) -> None:
    """Both places, and a format of each kind."""
    given = {"model": "ai-sage/Tiny", "language": "RU-ru", "word_timestamps": "false"}
    for form, mark in (("json", '"да"'), ("text", "да\n"), ("srt", "-->"), ("vtt", "WEBVTT"),
                       ("tsv", "0\t1000\tда")):  # fmt: skip
        options = {**given, "format": form}
        place = {"params": options} if where == "query" else {"data": options}
        answer = bench.send("POST", URL, files={"file": SOUND}, **place)
        assert answer.status_code == 200, answer.text
        assert mark in answer.text
        kind = FORMATS[form].media_type.split(";")[0]
        assert answer.headers["content-type"].startswith(kind)
    assert all(not options.word_timestamps for _, options in bench.stub.calls)
    assert {options.language for _, options in bench.stub.calls} == {"ru"}


@pytest.mark.parametrize(
    ("code", "method", "url", "rest"),
    [
        ("not_found", "GET", "/nothing", {}),
        ("option_invalid", "PUT", f"{URL}?colour=red", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?async=later", {"content": b"x"}),
        ("queue_unreachable", "PUT", f"{URL}?async=true", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?format=doc", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?language=en", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?channel=left", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?word_timestamps=maybe", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?format=srt&format=vtt", {"content": b"x"}),
        ("option_invalid", "PUT", f"{URL}?model=voice", {"content": b"x"}),
        ("option_invalid", "POST", URL, {"files": {"file": b"x"}, "data": {"colour": "red"}}),
        ("option_invalid", "POST", f"{URL}?format=srt",
         {"files": {"file": b"x"}, "data": {"format": "srt"}}),
        ("model_unknown", "PUT", f"{URL}?model=nosuch", {"content": b"x"}),
        ("model_unknown", "POST", URL, {"files": {"file": b"x"}, "data": {"model": "no"}}),
        ("request_invalid", "POST", URL, {"content": b"x"}),
        ("request_invalid", "POST", URL, {"files": {"sound": b"x"}}),
        ("audio_empty", "PUT", URL, {"content": b""}),
        ("upload_too_large", "PUT", URL, {"content": b"x" * 3000}),
        ("upload_too_large", "POST", URL, {"files": {"file": b"x" * 3000}}),
    ],
)  # fmt: skip
def test_refusals_cost_the_model_nothing(
    make_bench: Callable[..., Bench], code: str, method: str, url: str, rest: dict[str, Any]
) -> None:
    """Every wrong request has its code and status and never reaches the recognizer."""
    bench = make_bench(max_upload_bytes=2000)
    error(bench.send(method, url, **rest), code)
    assert bench.stub.calls == []


def test_limits_and_threshold_are_the_operators(make_bench: Callable[..., Bench]) -> None:
    """Too long by its own header: refused before the queue; the rest reaches the recognizer."""
    bench = make_bench(max_audio_s=1.0, short_audio_s=5.0)
    error(bench.send("PUT", URL, content=sounds.silence(2)), "audio_too_long")
    error(bench.send("PUT", URL, content=b"no sound"), "audio_unreadable")
    assert bench.stub.calls == []
    assert bench.send("PUT", URL, content=SOUND).status_code == 200
    assert bench.stub.calls == [(len(SOUND), Options("ru", max_audio_s=1.0, short_audio_s=5.0))]


def test_channels_are_split_on_request_and_at_most_eight(bench: Bench) -> None:
    """Too many are refused before the queue; one file, both routes."""
    nine = sounds.resampled(16_000, channels=9)
    refused = error(bench.send("PUT", f"{URL}?channel=split", content=nine), "option_invalid")
    assert "9 channels" in refused.message
    assert bench.stub.calls == []
    two = sounds.resampled(16_000, channels=2)
    for answer in (
        bench.send("PUT", f"{URL}?channel=split", content=two),
        bench.send("POST", URL, files={"file": two}, data={"channel": "split"}),
    ):
        assert answer.status_code == 200
    assert bench.stub.calls == [(len(two), Options("ru", channel="split"))] * 2


def test_a_wrong_method_is_refused(bench: Bench) -> None:
    """405 with Allow, in the envelope."""
    answer = bench.send("DELETE", URL)
    assert answer.status_code == 405
    assert json.loads(answer.content)["error"]["code"] == "request_invalid"


def test_a_body_without_length_is_stopped_at_the_limit(make_bench: Callable[..., Bench]) -> None:
    """Streaming does not get around the limit, and the rest is not read."""
    bench = make_bench(max_upload_bytes=100_000)
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 50_000
            yield b"z" * 50_000

    async def one(client: httpx.AsyncClient) -> httpx.Response:
        return await client.put(URL, content=endless())

    error(bench.run(one), "upload_too_large")
    assert sent <= 200_000


def test_request_ids_and_headers(bench: Bench) -> None:
    """A plain id comes back, anything else is replaced; every answer carries the headers."""
    given = bench.send("GET", "/health", headers={"X-Request-ID": "job-17.a_B"})
    assert given.headers["x-request-id"] == "job-17.a_B"
    for bad in ("a b", "x" * 65, "<script>", ""):
        answer = bench.send("GET", "/nothing", headers={"X-Request-ID": bad})
        assert answer.headers["x-request-id"] not in ("", bad)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_full_queue_refuses_and_recovers(make_bench: Callable[..., Bench]) -> None:
    """One runs, two wait, the fourth gets 429 with Retry-After before its body is read."""
    bench = make_bench(queue_size=2)
    bench.stub.gate.clear()

    async def unread() -> Any:
        raise AssertionError("the body was read")
        yield b""

    async def many(client: httpx.AsyncClient) -> None:
        running = asyncio.create_task(client.put(URL, content=SOUND))
        while not bench.stub.entered.is_set():
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(client.put(URL, content=SOUND)) for _ in range(2)]
        while len(bench.service.engine.queue) < 2:
            await asyncio.sleep(0.01)
        refused = await client.put(URL, content=unread())
        error(refused, "queue_full")
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert (await client.get("/health")).status_code == 200
        waiting[0].cancel()  # a client that leaves while it waits gives its place back
        while len(bench.service.engine.queue) == 2:
            await asyncio.sleep(0.01)
        late = asyncio.create_task(client.put(URL, content=SOUND))
        await asyncio.sleep(0.05)
        bench.stub.gate.set()
        answers = await asyncio.gather(running, waiting[1], late)
        assert [answer.status_code for answer in answers] == [200, 200, 200]

    bench.run(many)
    assert len(bench.stub.calls) == 3


def test_a_client_that_leaves_stops_its_transcription(bench: Bench) -> None:
    """The recognizer is stopped between chunks, and the next request is served."""
    bench.stub.gate.clear()

    async def scene(client: httpx.AsyncClient) -> None:
        leaving = asyncio.create_task(client.put(URL, content=SOUND))
        while not bench.stub.entered.is_set():
            await asyncio.sleep(0.01)
        leaving.cancel()
        while not bench.stub.cancelled.is_set():
            await asyncio.sleep(0.01)
        bench.stub.gate.set()
        assert (await client.put(URL, content=SOUND)).status_code == 200

    bench.run(scene)


def test_errors_of_the_model_follow_the_table(bench: Bench) -> None:
    """A family member keeps its code; a bug becomes `internal` and tells the client nothing."""
    bench.stub.error = LimitError("audio_too_long", "13 hours", "split it")
    error(bench.send("PUT", URL, content=SOUND), "audio_too_long")
    bench.stub.error = ValueError("secret detail")
    answer = bench.send("PUT", URL, content=SOUND)
    error(answer, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_every_code_has_an_answer(bench: Bench) -> None:
    """Whatever the registry can raise, the server can say."""
    for code, row in CODES.items():
        bench.stub.error = row.family(code, "message", "remedy")
        body = error(bench.send("PUT", URL, content=SOUND), code)
        assert (body.message, body.remedy) == ("message", "remedy")


def test_ready_says_why_not(make_bench: Callable[..., Bench]) -> None:
    """503 with the reason; requests get the same error before their body is read."""
    broken = make_bench(
        trouble=IntegrityError("artifact_altered", "encoder.data: abc is not def", "fetch it")
    )
    for answer in (broken.send("GET", "/ready"), broken.send("PUT", URL, content=SOUND)):
        assert error(answer, "artifact_altered").message == "encoder.data: abc is not def"
    assert broken.send("GET", "/health").status_code == 200
    bug = make_bench(trouble=RuntimeError("driver"))
    error(bug.send("GET", "/ready"), "not_ready")


def test_stopping_refuses_what_waits(bench: Bench) -> None:
    """After close, work is refused with 503 and the running job is cancelled after its grace."""
    bench.stub.gate.clear()

    async def scene(client: httpx.AsyncClient) -> None:
        running = asyncio.create_task(client.put(URL, content=SOUND))
        while not bench.stub.entered.is_set():
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(client.put(URL, content=SOUND))
        while not len(bench.service.engine.queue):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(bench.service.engine.close, 0.2)
        error(await waiting, "not_ready")
        error(await running, "cancelled")
        error(await client.put(URL, content=SOUND), "not_ready")

    bench.run(scene)
    assert len(bench.stub.calls) == 1


def test_the_log_has_digests_and_no_content(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """One JSON line per request: identifiers, digests, durations; no text, no file name."""
    with caplog.at_level(logging.INFO, logger="glagol"):
        answer = bench.send("POST", URL, files={"file": ("секрет.wav", SOUND)})
        bench.send("GET", "/секрет?x=секрет")
    lines = [JsonLines().format(r) for r in caplog.records if r.name == "glagol"]
    line = json.loads(lines[0])
    assert line["event"] == "request"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["model"] == "tiny"
    assert line["provenance"]["manifest_version"] == 7
    assert line["audio_sha256"] == line["provenance"]["audio_sha256"]
    assert {"total_s", "receive_s", "work_s", "audio_s", "status", "size_bytes"} <= set(line)
    assert len(lines) == 2
    assert not any("секрет" in text or "да" in text for text in lines)


def test_models_are_listed_in_openai_shape(bench: Bench) -> None:
    """With our digests and note beside it."""
    answer = msgspec.json.decode(bench.send("GET", "/v1/models").content, type=schemas.ModelList)
    assert [entry.id for entry in answer.data] == ["tiny", "other", "voice", "many", "english"]
    assert answer.object == "list"
    assert answer.data[0].default
    assert answer.data[0].note == "for tests"
    assert [entry.state for entry in answer.data] == ["open", *["unpinned"] * 4]
    assert [entry.role for entry in answer.data] == ["asr", "asr", "vad", "asr", "asr"]
    plain, both = ("transcribe",), ("transcribe", "translate")
    assert [entry.tasks for entry in answer.data] == [plain, plain, (), both, plain]
    assert answer.manifest_version == 7


def test_the_openapi_document_needs_no_network(bench: Bench) -> None:
    """Routes, form and errors are described, and no page links another host."""
    answer = bench.send("GET", "/schema/openapi.json")
    document = answer.json()
    transcribe = document["paths"][URL]
    assert {"post", "put"} == set(transcribe)
    form = transcribe["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    names = {"file", "model", "language", "word_timestamps", "format", "channel"}
    names |= {"async", "webhook_url", "summarize", "upload", "track", "strict"}
    names |= {"diarize", "num_speakers", "min_speakers", "max_speakers"}
    names |= {"task", "window", "prompt", "phrases", "numbers", "redact"}
    assert names == set(form["properties"])
    assert {"200", "400", "413", "415", "422", "429", "503"} <= set(transcribe["put"]["responses"])
    for path in ("/schema", "/schema/swagger", "/schema/redoc", "/schema/elements"):
        assert "://" not in bench.send("GET", path).text
