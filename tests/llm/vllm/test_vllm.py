"""The real vLLM on a CPU, with the tiny model: started, asked, killed, started again, ended.

Runs by build/test-llm alone: vLLM takes a minute to start and 3 GiB.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import httpx
import jsonschema
import openai

from llm import tiny
from llm.proxy.test_forward import CHAT, code
from llm.running import VLLM, Running, alive, descendants, start

CANARY = "КАНАРЕЙКА"
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "points": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["title", "points"],
    "additionalProperties": False,
}


def chat(**more: object) -> dict[str, object]:
    """A request that ends soon and says the same every time."""
    messages = [{"role": "user", "content": f"привет, {CANARY}"}]
    return {"model": tiny.ALIAS, "messages": messages, "max_tokens": 8, "temperature": 0, **more}


def test_vllm_is_ready(vllm_server: Running) -> None:
    """The known prompt was answered inside its grammar; the version is the locked one."""
    report = vllm_server.ready()
    assert json.loads(report["known_answer"])["answer"] in ("да", "нет")
    assert report["vllm"] == report["provenance"]["vllm"] == "0.32.0"
    with vllm_server.client() as client:
        assert "vllm:num_requests_running" in client.get("/metrics").text


def test_vllm_answers_the_openai_client(vllm_server: Running) -> None:
    """Chat, stream and completion; the stream's deltas are the chat's text."""
    address, patience = f"{vllm_server.url}/v1", vllm_server.patience_s
    client = openai.OpenAI(api_key="none", base_url=address, timeout=patience, max_retries=0)
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "привет"}
    ]
    whole = client.chat.completions.create(
        model=tiny.MODEL, messages=messages, max_tokens=20, temperature=0
    )
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    stream = client.chat.completions.create(
        model=tiny.MODEL, messages=messages, max_tokens=20, temperature=0, stream=True
    )
    deltas = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(deltas) == whole.choices[0].message.content
    assert len(deltas) > 10
    said = client.completions.create(model=tiny.MODEL, prompt="привет", max_tokens=5)
    assert said.choices[0].finish_reason == "length"
    assert [entry.id for entry in client.models.list()] == [tiny.MODEL]


def test_vllm_keeps_to_a_schema(vllm_server: Running) -> None:
    """JSON by structured outputs, without a space."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    with vllm_server.client() as client:
        answer = client.post(CHAT, json=chat(response_format=form, max_tokens=300)).json()
    text = answer["choices"][0]["message"]["content"]
    jsonschema.validate(json.loads(text), SCHEMA)
    assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def test_vllm_refuses_in_openai_shape(vllm_server: Running) -> None:
    """A long prompt, a wrong model, a wrong value, a route that the model has not."""
    with vllm_server.client() as client:
        long = [{"role": "user", "content": "слово " * 30_000}]
        answers = [
            client.post(CHAT, json=chat(messages=long)),
            client.post(CHAT, json=chat(model=CANARY)),
            client.post(CHAT, json=chat(temperature=CANARY)),
            client.post("/v1/embeddings", json={"model": tiny.MODEL, "input": CANARY}),
        ]
    assert [answer.status_code for answer in answers] == [400, 404, 400, 404]
    assert all(answer.json()["error"]["message"] for answer in answers)
    assert "maximum context length" in answers[0].json()["error"]["message"]


RUNNING = re.compile(r"^vllm:num_requests_running\{[^}]*\} [1-9]", re.MULTILINE)


def test_vllm_killed_in_mid_request(vllm_server: Running) -> None:
    """kill -9: each client gets a 503 or a last event; it serves again; no prompt is logged."""
    before = vllm_server.ready()
    family = descendants(vllm_server.process.pid)
    answers: list[httpx.Response] = []

    def ask(*, stream: bool) -> None:
        with vllm_server.client() as client:  # eight answers as long as the context: long enough
            body = chat(stream=stream, ignore_eos=True, max_tokens=8000, n=8, temperature=1)
            answers.append(client.post(CHAT, json=body))

    asked = [threading.Thread(target=ask, kwargs={"stream": s}) for s in (True, False) * 2]
    for thread in asked:
        thread.start()
    with vllm_server.client() as client:
        vllm_server.until(lambda: RUNNING.search(client.get("/metrics").text) is not None)
        os.kill(_api_server(family), signal.SIGKILL)
        for thread in asked:
            thread.join()
        assert len(answers) == len(asked)
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {code(answer) for answer in refused} <= {"llm_unavailable"}
        broken = 0
        for answer in answers:
            if answer.status_code == 200 and "event-stream" in answer.headers["content-type"]:
                last = answer.content.rstrip().rpartition(b"data: ")[2]
                if last != b"[DONE]":
                    assert json.loads(last)["error"]["code"] == "llm_unavailable"
                    broken += 1
        assert len(refused) + broken >= 2  # not all four can have been done by then
        vllm_server.until(lambda: client.get("/ready").status_code == 503)
        after = vllm_server.ready()
        assert after["starts"] == before["starts"] + 1
        assert client.post(CHAT, json=chat()).status_code == 200
    assert not [pid for pid in family[1:] if alive(pid) and _is_vllm(pid)]
    assert CANARY not in vllm_server.log.read_text()


def test_a_killed_server_leaves_no_vllm(llm_home: Path, vllm_python: Path, tmp_path: Path) -> None:
    """kill -9 of llm-server while vLLM starts its workers, which is when it is hardest."""
    server = start(llm_home, tmp_path, vllm_python, 900.0, **VLLM)
    try:
        server.until(lambda: len(descendants(server.process.pid)) >= 4)
        family = descendants(server.process.pid)
        server.process.kill()
        server.until(lambda: not any(alive(pid) for pid in family))
    finally:
        server.process.kill()
        server.stop()
    assert not [name for name in server.left if name.startswith("glagol-llm-")]


def _is_vllm(pid: int) -> bool:
    return b"vllm" in Path(f"/proc/{pid}/cmdline").read_bytes().lower()


def _api_server(family: list[int]) -> int:
    """vLLM's first process: the one below the subreaper."""
    subreaper = next(
        pid for pid in family if b"subreaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return next(
        pid
        for pid in family
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(subreaper)
    )
