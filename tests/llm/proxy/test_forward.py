"""What clients send reaches vLLM byte for byte and its answers come back, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from glagol.core.errors import CODES
from llm import tiny
from llm.running import Running

CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    server.ready()
    with server.client() as client:
        yield client


def chat(word: str, **more: object) -> dict[str, object]:
    """A chat that the stub understands."""
    return {"model": "m", "messages": [{"role": "user", "content": word}], **more}


def code(answer: httpx.Response) -> str:
    """The code of an error in OpenAI's shape, with the status that belongs to it."""
    found: str = answer.json()["error"]["code"]
    assert answer.status_code == CODES[found].http_status
    return found


def left(server: Running) -> Path:
    """The stub touches it when a client disconnects."""
    return server.log.with_name("left")


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_bytes_pass_as_they_are(client: httpx.Client, path: str) -> None:
    """Odd spaces, escapes and unknown fields arrive and return untouched."""
    raw = '{"messages" :[{"content":"echo"}],\n "x":1.50, "т":"\\u0451ж  "}'.encode()
    answer = client.post(path, content=raw, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.content) == (200, raw)
    assert answer.headers["content-length"] == str(len(raw))


def test_vllms_own_errors_pass(client: httpx.Client) -> None:
    """A refusal is vLLM's to word; a failure is ours."""
    refused = client.post(CHAT, json=chat("long"))
    assert refused.status_code == 400
    assert "maximum context length" in refused.json()["error"]["message"]
    assert client.post(CHAT, content=b"{").json()["error"]["type"] == "BadRequestError"
    assert code(client.post(CHAT, json=chat("fail"))) == "llm_unavailable"
    assert code(client.post("/v1/embeddings", json=chat("no route"))) == "not_found"


def test_a_stream_comes_chunk_by_chunk(client: httpx.Client) -> None:
    """Events arrive while later ones are not written yet, and none is changed."""
    with client.stream("POST", CHAT, json=chat("slow 20", stream=True)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = list(answer.iter_raw())
    whole = b"".join(events)
    assert len(events) > 10, "the stream was held back"
    assert whole.count(b"data: {") == 20
    assert whole.endswith(b"data: [DONE]\n\n")


def test_a_client_that_does_not_read_holds_vllm_back(server: Running, client: httpx.Client) -> None:
    """While a client is slow vLLM is not read; then it all comes, to the byte."""
    flooded = server.log.with_name("flooded")
    with client.stream("POST", CHAT, json=chat("flood 800", stream=True)) as answer:
        server.until(flooded.exists)
        before = -1
        while before != (before := int(flooded.read_text() or 0)):
            time.sleep(0.3)
        assert before < 200, "it was read into memory"
        whole = b"".join(answer.iter_raw())
    assert whole == b"".join(b"data: %b\n\n" % (b"x" * 65528) for _ in range(800)) + DONE


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_frees_the_model(
    server: Running, client: httpx.Client, *, stream: bool
) -> None:
    """The connection to vLLM is closed, the place is free, the log says cancelled."""
    left(server).unlink(missing_ok=True)
    name = f"disconnect-{stream}"
    request = client.build_request(
        "POST",
        CHAT,
        json=chat("slow 100", stream=stream),
        headers={"X-Request-ID": name},
        timeout=httpx.Timeout(20 if stream else 0.3),
    )
    if stream:
        answer = client.send(request, stream=True)
        next(answer.iter_raw())
        answer.close()
    else:
        with pytest.raises(httpx.ReadTimeout):
            client.send(request)
    server.until(lambda: [x for x in server.lines("request") if x["request_id"] == name])
    line = next(x for x in server.lines("request") if x["request_id"] == name)
    assert line["code"] == "cancelled"
    if stream:
        server.until(left(server).exists)
    assert "llm_places_taken 0.0" in client.get("/metrics").text


def test_no_place_is_429(server: Running, client: httpx.Client) -> None:
    """Two places: a third request gets 429 in OpenAI's shape."""
    sent = [threading.Thread(target=_slow, args=(server,)) for _ in range(2)]
    for thread in sent:
        thread.start()
    server.until(lambda: "llm_places_taken 2.0" in client.get("/metrics").text)
    refused = client.post(CHAT, json=chat("echo"))
    assert code(refused) == "queue_full"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) >= 1
    for thread in sent:
        thread.join()
    assert client.post(CHAT, json=chat("echo")).status_code == 200


def _slow(server: Running) -> None:
    with server.client() as client:
        assert client.post(CHAT, json=chat("slow 40")).status_code == 200


def test_a_body_has_a_limit(client: httpx.Client) -> None:
    """More than 16 MiB is refused, and no place is lost."""
    answer = client.post(CHAT, content=b" " * (16 << 20) + b"{}")
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "llm_places_taken 0.0" in client.get("/metrics").text


def test_the_model_and_its_digests(client: httpx.Client) -> None:
    """/ready and /v1/models name what serves, by id and by alias."""
    digests = client.get("/ready").json()["data"]["provenance"]["artifacts"]
    assert set(digests) == set(tiny.files())
    for path in ("", f"/{tiny.MODEL}", f"/{tiny.ALIAS}"):
        entry = client.get(f"/v1/models{path}").json()
        entry = entry if path else entry["data"][0]
        assert (entry["id"], entry["digests"]) == (tiny.MODEL, digests)
    assert code(client.get("/v1/models/gpt")) == "model_unknown"


def test_the_routes_are_described(client: httpx.Client) -> None:
    """The OpenAPI document and the page name every route, those that pass too."""
    described = client.get("/schema/openapi.json").json()["paths"]
    page = client.get("/docs").text
    for path in (CHAT, "/v1/completions", "/v1/embeddings", "/v1/summarize", "/ready"):
        assert path in described
        assert path in page


def test_metrics_are_joined(client: httpx.Client) -> None:
    """Ours and vLLM's, and of the families with one name only ours."""
    text = client.get("/metrics").text
    assert "vllm:running 3.0" in text
    assert "llm_ready 1.0" in text
    assert text.count("\nprocess_open_fds ") == 1


def test_vllm_got_verified_links_and_no_network(server: Running) -> None:
    """Its directory, command line and environment are what they must be."""
    seen = json.loads(server.log.with_name("seen.json").read_text())
    assert seen["files"] == sorted(tiny.files())
    model = Path(seen["arguments"][seen["arguments"].index("--model") + 1])
    assert all((model / name).read_bytes() == data for name, data in tiny.files().items())
    assert model.stat().st_mode & 0o222 == 0
    assert model.parent.stat().st_mode & 0o077 == 0
    given = seen["environment"]
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
        assert given[name] == "1"
    assert given["XDG_CACHE_HOME"] == str(server.log.parent / "state" / "cache")
    assert len(given["VLLM_API_KEY"]) >= 32
    assert given["VLLM_API_KEY"] not in " ".join(seen["arguments"])
    assert not [name for name in given if name.startswith(("LLM_", "GLAGOL_", "PYTHONPATH"))]
