"""One conversation with a real llm-server over the stub, and the form of what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from llm import stub, tiny
from llm.running import ANSWER, start
from surface.asr_session import log_forms, metric_forms, routes_of
from surface.shape import shape

__all__ = ["llm_server"]

ITEM = {"text": "пора начинать", "segments": ["s1"]}
NOTES = {"summary": "начали", "key_points": [ITEM], "action_items": [ITEM], "decisions": [ITEM]}


def llm_server(folder: Path) -> dict[str, Any]:
    """Run the conversation; the parts of the snapshot by name."""
    (folder / "answer").write_text(ANSWER)
    server = start(tiny.make_home(folder / "home"), folder, stub.write(folder))
    try:
        server.ready()
        with server.client() as client:
            (folder / "answer").write_text(json.dumps(NOTES))
            document = client.get("/schema/openapi.json").json()
            payloads = _answers(client)
            metrics = metric_forms(client.get("/metrics").text)
    finally:
        status = server.stop()
    assert status == 0, server.log.read_text()
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return {
        "llm-openapi": document,
        "llm-routes": routes_of(document),
        "llm-metrics": metrics,
        "llm-log": log_forms("\n".join(lines)),
        "llm-payloads": payloads,
    }


def _answers(client: httpx.Client) -> dict[str, Any]:
    models = client.get("/v1/models").json()
    name = models["data"][0]["id"]
    chat = {"model": name, "messages": [{"role": "user", "content": "x"}]}
    refused = client.post("/v1/summarize", json={"text": "", "job": "a"})
    summary = client.post("/v1/summarize", json={"text": "добрый день\nпора начинать"})
    return {
        "health": shape(client.get("/health").json()),
        "ready": shape(client.get("/ready").json()),
        "models": shape(models),
        "model": shape(client.get(f"/v1/models/{name}").json()),
        "openai error": shape(client.get("/v1/models/none").json()),
        "error": shape(refused.json()),
        "summarize": {"status": summary.status_code, "body": shape(summary.json())},
        "chat": {"status": client.post("/v1/chat/completions", json=chat).status_code},
    }
