"""A real embed-server: OpenAI's own client, the errors' forms, keys, and the end of the process."""

from __future__ import annotations

import base64
import concurrent.futures
import json
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from embed import made
from glagol.cli.main import main as run
from glagol.embed.engine import Embedder

WRONG: list[tuple[dict[str, Any], str, int]] = [
    ({"input": ""}, "text_empty", 400),
    ({"input": [" "]}, "text_empty", 400),
    ({"input": []}, "text_empty", 400),
    ({"input": [[]]}, "text_empty", 400),
    ({"input": None}, "request_invalid", 400),
    ({"input": ["a", 1]}, "request_invalid", 400),
    ({"input": [[True]]}, "request_invalid", 400),
    ({"input": [[1]]}, "request_invalid", 400),
    ({"input": ["a"] * 2049}, "request_invalid", 400),
    ({"input": "a " * 15}, "prompt_too_long", 400),
    ({"input": "a" * (1 << 20) + "b"}, "prompt_too_long", 400),
    ({"input": "a", "dimensions": 0}, "request_invalid", 400),
    ({"input": "a", "dimensions": 65}, "request_invalid", 400),
    ({"input": "a", "model": "other"}, "model_unknown", 404),
    ({"input": "a", "encoding_format": "hex"}, "request_invalid", 400),
    ({"input": "a", "input_type": "document"}, "request_invalid", 400),
    ({"input": "a", "unheard": 1}, "request_invalid", 400),
]
BROKEN = [
    *(b"", b"{", b"[]", b'{"model":"x"}', b"\xff", b"[" * 100_000),
    b'{"input":"\\ud800","model":"made-embedder"}',
]


def test_openais_client_works_unchanged(server: made.Server, embedder: Embedder) -> None:
    """Texts, a single text and tokens; numbers and base64; usage, model and provenance."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        texts = ["a b", "c"]
        packed = client.embeddings.create(model=made.ALIAS, input=texts)  # base64 by default
        plain = client.embeddings.create(model=made.MODEL, input=texts, encoding_format="float")
        expected = embedder.embed(texts, "raw")
        for answer in (packed, plain):
            found = np.array([each.embedding for each in answer.data], np.float32)
            assert found.tobytes() == expected.tobytes()
            assert [each.index for each in answer.data] == [0, 1]
        assert packed.usage.prompt_tokens == packed.usage.total_tokens == 7
        assert packed.model == made.MODEL
        assert packed.model_extra is not None
        assert packed.model_extra["provenance"]["artifacts"] == embedder.provenance.artifacts
        tokens = client.embeddings.create(model=made.MODEL, input=[[4, 5], [6]])
        assert np.allclose(tokens.data[0].embedding, expected[0], atol=1e-6)
        short = client.embeddings.create(model=made.MODEL, input="a b", dimensions=8)
        cut = expected[0][:8] / np.linalg.norm(expected[0][:8])
        assert np.allclose(short.data[0].embedding, cut, atol=1e-6)
        ours = {"input_type": "query", "truncate": True}
        long = client.embeddings.create(model=made.MODEL, input="b " * 99, extra_body=ours)
        assert long.model_extra is not None
        assert long.model_extra["truncated"] == [0]
        assert [each.id for each in client.models.list()] == [made.MODEL]
        assert client.models.retrieve(made.ALIAS).id == made.MODEL
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("none")


@pytest.mark.parametrize(("body", "code", "status"), WRONG, ids=str)
def test_wrong_requests_have_different_errors(
    server: made.Server, body: dict[str, Any], code: str, status: int
) -> None:
    """OpenAI's shape, our code, and the server continues."""
    with server.client() as client:
        answer = client.post("/v1/embeddings", json={"model": made.MODEL, **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_broken_bodies_have_different_errors(server: made.Server) -> None:
    """No JSON, half a surrogate pair, too large a body: an error each, never a 500."""
    with server.client() as client:
        for body in BROKEN:
            answer = client.post("/v1/embeddings", content=body)
            assert answer.status_code == 400, body[:40]
            assert answer.json()["error"]["code"] == "request_invalid"
        assert client.post("/v1/embeddings", content=b" " * (17 << 20)).status_code == 413
        assert client.get("/health").status_code == 200


def test_the_service_standard(server: made.Server) -> None:
    """Envelope, request id, facts, readiness, metrics, document; no text in the log."""
    with server.client() as client:
        assert client.get("/health").json() == {
            "success": True, "data": {"status": "alive"}, "error": None,
        }  # fmt: skip
        ready = client.get("/ready").json()["data"]
        assert ready["provenance"]["variant"] == "cpu-fp32"
        assert client.get("/").json()["data"]["state"] == "ready"
        body = {"model": made.MODEL, "input": "тайноеслово"}
        answer = client.post("/v1/embeddings", json=body, headers={"x-request-id": "me"})
        assert answer.headers["x-request-id"] == "me"
        text = client.get("/metrics").text
        assert "embed_ready 1.0" in text
        assert 'embed_requests_total{code="ok",route="/v1/embeddings",status="200"}' in text
        assert "/v1/embeddings" in client.get("/schema/openapi.json").json()["paths"]
        assert "embeddings" in client.get("/docs").text
        assert client.get("/none").json()["error"]["code"] == "not_found"
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
    log = server.log.read_text()
    assert "тайноеслово" not in log
    line = next(line for line in server.lines("request") if line["request_id"] == "me")
    assert (line["texts"], line["status"]) == (1, 200)


def test_many_requests_at_a_time_get_their_own_vectors(
    server: made.Server, embedder: Embedder
) -> None:
    """Each answer belongs to its request, bit for bit."""
    texts = [" ".join(chr(97 + (n + k) % 26) for k in range(1 + n % 9)) for n in range(40)]
    expected = embedder.embed(texts, "raw")

    def ask(number: int) -> bytes:
        body = {"model": made.MODEL, "input": texts[number], "encoding_format": "base64"}
        answer = client.post("/v1/embeddings", json=body)
        while answer.status_code == 429:  # its share of the places
            answer = client.post("/v1/embeddings", json=body)
        return base64.b64decode(answer.json()["data"][0]["embedding"])

    with server.client() as client, concurrent.futures.ThreadPoolExecutor(8) as threads:
        for number, found in enumerate(threads.map(ask, range(len(texts)))):
            assert found == expected[number].tobytes()


def test_keys_and_a_model_that_was_altered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a key 401, with another scope 403; an altered file keeps the server unready."""
    home = made.make_home(tmp_path / "home")
    state = tmp_path / "state"
    state.mkdir()
    keys = {}
    for name, scope in (("right", "embed"), ("other", "jobs")):
        assert run(["keys", "--state", str(state), "add", name, "--scope", scope]) == 0
        keys[name] = next(
            word for word in capsys.readouterr().out.split() if word.startswith("glagol_")
        )
    path = next(p for p in (home / "store/sha256").rglob("*") if p.is_file())
    server = made.start(home, tmp_path / "server", EMBED_STATE=str(state))
    body = {"model": made.MODEL, "input": "a"}
    try:
        for name, status in (("", 401), ("other", 403), ("right", 200)):
            headers = {"authorization": f"Bearer {keys[name]}"} if name else {}
            with server.client(**headers) as client:
                assert client.post("/v1/embeddings", json=body).status_code == status
    finally:
        assert server.stop() == 0
    for each in (home / "store/sha256").rglob("*"):
        if each.is_file():
            each.chmod(0o644)
            each.write_bytes(each.read_bytes()[:-1] + b"?")
    assert path.is_file()
    server = made.start(home, tmp_path / "again", ready=503)
    try:
        with server.client() as client:
            answer = client.get("/ready")
            assert answer.json()["error"]["code"] == "artifact_altered"
            refused = client.post("/v1/embeddings", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                503, "artifact_altered",
            )  # fmt: skip
    finally:
        assert server.stop() == 0


def test_what_is_under_way_is_answered_at_the_end(home: Path, tmp_path: Path) -> None:
    """A request that was being computed when the signal came gets its vectors."""
    server = made.start(home, tmp_path / "server", EMBED_WORKERS="1", EMBED_VARIANT="cpu-fp32")
    body = {"model": made.MODEL, "input": ["a b c d e f g h"] * 2048, "encoding_format": "base64"}
    with server.client() as client, concurrent.futures.ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.post, "/v1/embeddings", json=body)
        with server.client() as other:
            while "embed_texts_waiting 0.0" in other.get("/metrics").text:
                assert not answer.done()
        assert server.stop() == 0
        assert answer.result().status_code == 200
        assert len(answer.result().json()["data"]) == 2048


def test_a_wrong_setting_ends_the_start(home: Path, tmp_path: Path) -> None:
    """The log's last line names the variable, and the exit status is that of input errors."""
    from glagol.embed.server import main

    environment = {"GLAGOL_HOME": str(home), "HOME": str(tmp_path)}
    assert main({**environment, "EMBED_WORKERS": "many"}) == 2
    assert main({**environment, "EMBED_MODEL_NAME": "silero-vad"}) == 2
    assert json.loads((home / "manifest.json").read_text())["manifest_version"]
