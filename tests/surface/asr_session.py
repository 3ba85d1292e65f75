"""One conversation with a real asr-server, and the form of everything that it says and writes.

It answers in every format, works a job, delivers a webhook, takes an upload, transcribes a live
stream and refuses what is wrong; then it is stopped, and its log and its audit log are read.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import sounds
from asr.process import PATIENCE_S, Server, start
from jobs.webhooks.receiver import Receiver, receiver
from surface.shape import merged, shape

__all__ = ["asr_server", "log_forms", "metric_forms", "routes_of"]

SECRET = "whsec_" + "c" * 32
URL = "/v1/transcribe"
SPEECH_S = 3.0
OPENAI = "/v1/audio/transcriptions"
KERNELS = "kernels_sha256"  # null where the processor has no matrix unit
PATTERNS = ((r"\d+", "0"), (r"[а-яё]+", "слово"), (r"слово( слово)+", "слова"))


def asr_server(home: Path, folder: Path, key: str) -> dict[str, Any]:
    """Run the conversation.

    Args:
        home: With the models.
        folder: Of this run; its `state` holds keys.json with an administrator's `key`.
        key: The text of that key.

    Returns:
        The parts of the snapshot by name.
    """
    with receiver() as hook:
        state = folder / "state"
        (state / "policy.toml").write_text(
            f'[webhooks]\nsecrets = ["{SECRET}"]\nallow = ["127.0.0.0/8"]\nports = [{hook.port}]\n'
        )
        server = start(home, folder / "scratch", ASR_STATE=str(state), ASR_UNHEARD_OF="1")
        try:
            with server.client() as client:
                refused = client.get("/v1/jobs").json()
                client.headers["authorization"] = f"Bearer {key}"
                document = client.get("/schema/openapi.json").json()
                payloads = {
                    "error": shape(refused),
                    **_plain_answers(client),
                    **_transcripts(client),
                    **_jobs(client, hook),
                    **_uploads(client),
                    "stream": _stream(server, key),
                }
                metrics = metric_forms(client.get("/metrics").text)
        finally:
            status = server.stop()
    assert status == 0, server.log.read_text()
    lines = (state / "audit.log").read_text().splitlines()
    payloads["audit line"] = merged(shape(json.loads(line)) for line in lines)
    return {
        "asr-openapi": document,
        "asr-routes": sorted([*routes_of(document), "WEBSOCKET /v1/stream"]),
        "asr-metrics": metrics,
        "asr-log": _settled(log_forms(server.log.read_text())),
        "asr-payloads": _settled(payloads),
    }


def spoken(channels: int = 1) -> bytes:
    """The first seconds of the clip, the same in every channel, as a 16 kHz WAV file."""
    data, rate = sounds.samples()
    first = data[: int(SPEECH_S * rate)]
    return sounds.wav(np.repeat(first[:, None], channels, axis=1), rate)


def log_forms(text: str) -> dict[str, Any]:
    """The form of the log's lines by event."""
    events: dict[str, list[Any]] = {}
    for line in map(json.loads, text.splitlines()):
        events.setdefault(line["event"], []).append(shape(line))
    return {event: merged(lines) for event, lines in events.items()}


def metric_forms(text: str) -> dict[str, Any]:
    """Type and label names of every family in Prometheus' text format."""
    families: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            families[name] = {"type": kind, "labels": set()}
            inner = name
        elif not line.startswith("#"):
            sample = re.split(r"[{ ]", line, maxsplit=1)[0]
            labels = re.findall(r'[{,](\w+)="', line)
            assert sample.startswith(inner), line
            families[inner]["labels"] |= set(labels)
    return {name: {**each, "labels": sorted(each["labels"])} for name, each in families.items()}


def routes_of(document: dict[str, Any]) -> list[str]:
    """Method and path of every operation of an OpenAPI document."""
    return sorted(f"{m.upper()} {path}" for path, each in document["paths"].items() for m in each)


def _plain_answers(client: httpx.Client) -> dict[str, Any]:
    models = client.get("/v1/models").json()
    one = client.get(f"/v1/models/{models['data'][0]['id']}")
    unknown = client.get("/v1/models/none")
    found = {name: client.get(f"/{name}").json() for name in ("health", "ready")}
    return {
        **{name: shape(answer) for name, answer in found.items()},
        "models": shape(models),
        "model": shape(one.json()),
        "openai error": shape(unknown.json()),
        "headers": sorted(set(unknown.headers) - {"date", "server"}),
    }


def _transcripts(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for form in ("json", "text", "tsv", "srt", "vtt"):
        answer = client.put(URL, params={"format": form}, content=spoken())
        assert answer.status_code == 200, answer.text
        found[f"transcribe {form}"] = _form_of(answer)
    answer = client.put(URL, params={"channel": "split"}, content=spoken(2))
    found["transcribe split"] = _form_of(answer)
    for form in ("json", "verbose_json", "text", "srt", "vtt"):
        answer = _asked(client, response_format=form)
        found[f"openai {form}"] = _form_of(answer)
    stream = _asked(client, stream="true").text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    found["openai stream"] = _by(events, "type")
    return found


def _asked(client: httpx.Client, **data: str) -> httpx.Response:
    answer = client.post(OPENAI, files={"file": ("a.wav", spoken())}, data=data)
    assert answer.status_code == 200, answer.text
    return answer


def _form_of(answer: httpx.Response) -> Any:
    """The form of a JSON answer; of a text, its kind and its first lines without their content."""
    kind = answer.headers["content-type"]
    if kind.startswith("application/json"):
        return shape(answer.json())
    text = "\n".join(answer.text.split("\n")[:4])
    for pattern, instead in PATTERNS:
        text = re.sub(pattern, instead, text)
    return {"content-type": kind, "begins": text}


def _by(messages: list[dict[str, Any]], field: str) -> dict[str, Any]:
    kinds = {message[field] for message in messages}
    return {kind: merged(shape(m) for m in messages if m[field] == kind) for kind in kinds}


def _jobs(client: httpx.Client, hook: Receiver) -> dict[str, Any]:
    asked = {"async": "true", "webhook_url": hook.url}
    made = client.put(URL, params=asked, content=spoken())
    broken = client.put(URL, params=asked, content=sounds.not_finite())
    assert (made.status_code, broken.status_code) == (202, 202), made.text + broken.text
    requests = hook.wait(2)
    events = _events(client.get(f"{_place(made)}/events").text)
    ended = [_until_over(client, _place(each)) for each in (made, broken)]
    result = client.get(f"{_place(made)}/result")
    deliveries = _delivered(client)
    one = client.get(f"/v1/deliveries/{deliveries['data']['deliveries'][0]['id']}")
    return {
        "job made": shape(made.json()),
        "job done": shape(ended[0]),
        "job failed": shape(ended[1]),
        "job result": shape(result.json()),
        "job events": events,
        "jobs": shape(client.get("/v1/jobs").json()),
        "deliveries": shape(deliveries),
        "delivery": shape(one.json()),
        "webhooks": _by([json.loads(each.body) for each in requests], "type"),
        "webhook headers": sorted(
            name for name in requests[0].headers if name.startswith("webhook")
        ),
    }


def _place(answer: httpx.Response) -> str:
    """The path that an answer's Location leads to."""
    return urljoin(answer.url.path, answer.headers["location"])


def _until_over(client: httpx.Client, path: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while (found := client.get(path).json())["data"]["state"] in {"queued", "running"}:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def _delivered(client: httpx.Client) -> Any:
    """The list of deliveries, once both are done."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = client.get("/v1/deliveries", params={"state": "done"}).json()
        if len(found["data"]["deliveries"]) == 2:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def _events(text: str) -> dict[str, Any]:
    """Server-sent events of a job that has ended, by name; progress may have come or not."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if lines.get("event") == "state":
            found.append({"event": "state", "data": json.loads(lines["data"])})
    return _by(found, "event")


def _uploads(client: httpx.Client) -> dict[str, Any]:
    speaks = {"Tus-Resumable": "1.0.0"}
    audio = spoken()
    made = client.post("/v1/uploads", headers={**speaks, "Upload-Length": str(len(audio))})
    path = _place(made)
    seen = client.head(path, headers=speaks)
    kind = {**speaks, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    sent = client.patch(path, headers=kind, content=audio)
    name = path.rpartition("/")[2]
    answer = client.put(URL, params={"upload": name})
    gone = client.delete(path, headers=speaks)
    answers = {"made": made, "seen": seen, "sent": sent, "transcribed": answer, "gone": gone}
    return {
        f"upload {what}": {
            "status": each.status_code,
            "headers": sorted(h for h in each.headers if h.startswith(("upload", "tus", "loc"))),
        }
        for what, each in answers.items()
    }


def _stream(server: Server, key: str) -> dict[str, Any]:
    """The messages of a stream that ends well, with a guess, and of one that makes no sense."""
    start, finish = '{"type":"start","rate":16000}', '{"type":"finish"}'
    with _talk(server, key) as socket:
        socket.send(start)
        socket.send(spoken()[44:])
        found = [json.loads(socket.recv(PATIENCE_S))]
        while found[-1]["type"] != "partial":
            found.append(json.loads(socket.recv(PATIENCE_S)))
        socket.send(bytes(64_000))
        socket.send(finish)
        found += _rest(socket)
    with _talk(server, key) as socket:
        socket.send('{"type":"unheard-of"}')
        found += _rest(socket)
    return _by(found, "type")


def _talk(server: Server, key: str) -> ClientConnection:
    url = server.url.replace("http", "ws", 1) + "/v1/stream"
    return connect(url, additional_headers={"Authorization": f"Bearer {key}"}, proxy=None)


def _rest(socket: ClientConnection) -> list[dict[str, Any]]:
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(socket.recv(PATIENCE_S)))
    return found


def _settled(value: Any) -> Any:
    """Without what depends on the processor."""
    if isinstance(value, dict):
        return {n: "null | string" if n == KERNELS else _settled(v) for n, v in value.items()}
    return [_settled(each) for each in value] if isinstance(value, list) else value
