"""A real rag-server: put, search, ask, forget; two keys never see each other's recordings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from embed import made
from glagol.cli.commands.search.mcp import answers
from glagol.cli.main import main as run
from glagol.web.audit_log import verify
from glagol.web.sse import Reader

SAID = ["Бюджет утвердили в марте", "Договор готовит Белова", "до встречи"]


def transcript(*texts: str) -> dict[str, Any]:
    """The JSON of a transcript."""
    segments = [
        {"text": text, "start": 10.0 * n, "end": 10.0 * n + 8, "speaker": f"голос {n}"}
        for n, text in enumerate(texts)
    ]
    return {"segments": segments}


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[made.Server]:
    """A server without keys and without a language model."""
    running = made.start(home, tmp_path_factory.mktemp("rag"), program="rag")
    yield running
    assert running.stop() == 0, running.log.read_text()


def test_from_a_transcript_to_an_answer(server: made.Server) -> None:
    """Put once, found on both ways, answered with quotes, forgotten."""
    body = {"transcript": transcript(*SAID), "date": "2026-03-12", "folder": "f"}
    with server.client() as client:
        first, again = (client.put("/v1/recordings/r1", json=body).json() for _ in range(2))
        assert first["data"] == {"id": "r1", "turns": 3, "changed": True}
        assert again["data"]["changed"] is False
        wish = {"query": "утверждение бюджета", "folders": ["f"], "since": "2026-03-01"}
        found = client.post("/v1/search", json=wish).json()["data"]["hits"]
        hit = next(each for each in found if each["found_by"]["words"] == 1)
        assert (hit["recording"], hit["start"], hit["speaker"]) == ("r1", 0.0, "голос 0")
        assert [each["text"] for each in hit["around"]] == SAID[:2]
        answer = client.post("/v1/ask", json={"query": "Белова договор"}).json()["data"]
        assert (answer["found"], answer["by_model"]) == (True, False)
        assert {"text": SAID[1], "citations": [1], "supported": True} in answer["sentences"]
        assert client.post("/v1/search", json={**wish, "folders": []}).json()["data"]["hits"] == []
        listed = client.get("/v1/recordings").json()["data"]["recordings"]
        assert listed == [{"id": "r1", "title": "r1", "turns": 3, "speech_s": 24.0}]
        assert client.delete("/v1/recordings/r1").json()["data"]["forgotten"]
        assert client.delete("/v1/recordings/r1").json()["error"]["code"] == "not_found"
        assert not client.post("/v1/ask", json={"query": "Белова"}).json()["data"]["found"]
        assert client.get("/ready").json()["data"]["answers"] == "quotes"
        assert 'rag_requests_total{code="ok",route="/v1/search"' in client.get("/metrics").text
        assert "rag_ready 1.0" in client.get("/metrics").text
    assert "Белова" not in server.log.read_text()
    audit = server.log.parent / ".local/state/glagol/audit.log"
    assert verify(audit).fault == ""
    said = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [each["event"] for each in said] == ["opened", "indexed", "forgotten"]
    assert {each["model"] for each in said} == {made.MODEL}
    assert said[1]["detail"].startswith("r1 ")
    assert "Белова" not in audit.read_text()


def test_counts_streams_and_mcp(server: made.Server) -> None:
    """Facets over HTTP; an answer as events; the same as tools of MCP, which change nothing."""
    body = {"transcript": transcript(*SAID), "tags": ["важное"]}
    with server.client() as client:
        client.put("/v1/recordings/r2", json=body)
        wish = {"query": "бюджет", "by": ["tag", "recording"], "limit": 1, "tags": ["важное"]}
        counts = client.post("/v1/counts", json=wish).json()["data"]
        assert (counts["turns"], counts["facets"]["recording"][0]["value"]) == (1, "r2")
        assert counts["mentions"][0]["text"] == SAID[0]
        reader = Reader()
        with client.stream("POST", "/v1/ask", json={"query": "договор", "stream": True}) as answer:
            events = [event for piece in answer.iter_bytes() for event in reader.feed(piece)]
        names = [event.name for event in events]
        assert (names[0], names[1], names[-1]) == ("hits", "sentence", "done")
        assert msgspec.json.decode(events[-1].data)["found"]
        messages: list[Any] = [
            {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/list"},
            {"id": 3, "method": "tools/call", "params": {"name": "search", "arguments": wish}},
            {"id": 4, "method": "tools/call", "params": {"name": "count", "arguments": wish}},
            {"id": 5, "method": "tools/call", "params": {"name": "forget"}},
            {"id": 6, "method": "resources/list"},
            [],
        ]
        lines = [msgspec.json.encode(each) for each in messages]
        said = [msgspec.json.decode(each) for each in answers([*lines, b"{", b""], client.request)]
        client.delete("/v1/recordings/r2")
    assert said[0]["result"]["protocolVersion"] == "2025-03-26"
    assert all(tool["annotations"]["readOnlyHint"] for tool in said[1]["result"]["tools"])
    assert said[2]["result"]["isError"]
    assert "request_invalid" in said[2]["result"]["content"][0]["text"]
    assert SAID[0] in said[3]["result"]["content"][0]["text"]
    assert [each["error"]["code"] for each in said[4:]] == [-32602, -32601, -32600, -32700]


WRONG: list[tuple[str, Any, str]] = [
    ("/v1/search", {"query": ""}, "text_empty"),
    ("/v1/search", {}, "request_invalid"),
    ("/v1/search", {"query": "a" * 10_001}, "request_invalid"),
    ("/v1/search", {"query": "a", "colour": "red"}, "request_invalid"),
    ("/v1/search", {"query": "a", "since": "yesterday"}, "request_invalid"),
    ("/v1/search", {"query": "a", "limit": 101}, "request_invalid"),
    ("/v1/search", {"query": "a", "recordings": ["../x"]}, "request_invalid"),
    ("/v1/search", {"query": "a", "confidence": 2}, "request_invalid"),
    ("/v1/counts", {"by": ["colour"]}, "request_invalid"),
    ("/v1/counts", {"colour": ["red"]}, "request_invalid"),
    ("/v1/ask", {"query": "a", "limit": 21}, "request_invalid"),
    ("/v1/recordings/r", {"transcript": {"segments": []}}, "text_empty"),
    ("/v1/recordings/r", {"transcript": {}}, "request_invalid"),
    ("/v1/recordings/.r", {"transcript": transcript("a")}, "request_invalid"),
]


@pytest.mark.parametrize(("path", "body", "code"), WRONG, ids=str)
def test_wrong_requests_have_codes(server: made.Server, path: str, body: Any, code: str) -> None:
    """The envelope with our code, 400, and the server still answers."""
    with server.client() as client:
        method = "PUT" if "recordings" in path else "POST"
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        assert client.post(path, content=b"\xff").status_code in {400, 405}


def test_two_keys_never_see_each_other(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same id and text for two keys: own hits, own list, own deletion; the admin sees both."""
    state = tmp_path / "state"
    state.mkdir()
    clients: dict[str, httpx.Client] = {}
    keys = {}
    for name, scope in (("ann", "search"), ("bob", "search"), ("eve", "embed"), ("root", "admin")):
        assert run(["keys", "--state", str(state), "add", name, "--scope", scope]) == 0
        found = re.search(r"glagol_[\w-]{43}", capsys.readouterr().out)
        assert found is not None
        keys[name] = found[0]
    server = made.start(home, tmp_path / "rag", program="rag", RAG_STATE=str(state))
    try:
        for name, key in keys.items():
            clients[name] = server.client(authorization=f"Bearer {key}")
        for name in ("ann", "bob"):
            body = {"transcript": transcript(f"общий текст {name}")}
            assert clients[name].put("/v1/recordings/r1", json=body).json()["data"]["changed"]
        wish = {"query": "общий текст"}
        for name in ("ann", "bob"):
            (hit,) = clients[name].post("/v1/search", json=wish).json()["data"]["hits"]
            assert (hit["recording"], hit["text"]) == ("r1", f"общий текст {name}")
            assert len(clients[name].get("/v1/recordings").json()["data"]["recordings"]) == 1
        other = clients["ann"].post("/v1/search", json={**wish, "recordings": ["bob/r1"]})
        assert other.json()["error"]["code"] == "request_invalid"
        assert clients["eve"].post("/v1/search", json=wish).status_code == 403
        every = clients["root"].post("/v1/search", json=wish).json()["data"]["hits"]
        assert {hit["recording"] for hit in every} == {"ann/r1", "bob/r1"}
        assert clients["ann"].delete("/v1/recordings/r1").status_code == 200
        assert len(clients["bob"].post("/v1/search", json=wish).json()["data"]["hits"]) == 1
    finally:
        for client in clients.values():
            client.close()
        assert server.stop() == 0, server.log.read_text()
