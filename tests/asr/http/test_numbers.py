"""How text is written, on every way to the recogniser: form, address, jobs, OpenAI, streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.sync.client import connect

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import submit, until
from asr.process import PATIENCE_S, Server
from glagol.asr.http.schemas import Transcript
from glagol.speech.text.digits import RULES_VERSION

URL = "/v1/transcribe"
OPENAI = "/v1/audio/transcriptions"
SOUND = sounds.silence(0.2)
SUM = "92\u00a0545"


def test_it_reaches_the_model(bench: Bench) -> None:
    """From the form and from the address; words, and nothing masked, where nothing is said."""
    form = {"numbers": "digits", "redact": "true"}
    assert bench.send("POST", URL, files={"file": SOUND}, data=form).status_code == 200
    assert bench.send("PUT", URL, params=form, content=SOUND).status_code == 200
    assert bench.send("POST", OPENAI, files={"file": SOUND}, data=form).status_code == 200
    assert bench.send("PUT", URL, content=SOUND).status_code == 200
    asked = [(options.numbers, options.redact) for _, options in bench.stub.calls]
    assert asked == [("digits", True)] * 3 + [("words", False)]


@pytest.mark.parametrize("url", [URL, OPENAI])
def test_another_value_is_refused_by_name(bench: Bench, url: str) -> None:
    for name, value in (("numbers", "roman"), ("redact", "perhaps")):
        answer = bench.send("POST", url, files={"file": SOUND}, data={name: value})
        assert answer.status_code == 400, answer.text
        assert f"{name}={value!r}" in answer.json()["error"]["message"]
    assert bench.stub.calls == []


def test_jobs_keep_it(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make_bench(state=str(tmp_path / "state"))
    made = submit(bench, "&numbers=digits&redact=true")
    until(bench, made.id, "done")
    assert (bench.stub.calls[0][1].numbers, bench.stub.calls[0][1].redact) == ("digits", True)


def test_answers_of_a_real_server(server: Server) -> None:
    """The text in digits, what was said beside it, and the rules in provenance."""
    with server.client() as client:
        files, form = {"file": sounds.clip()}, {"numbers": "digits"}
        ours = client.post(URL, files=files, data=form).json()["data"]
        theirs = client.post(OPENAI, files=files, data=form).json()
        srt = client.post(URL, files=files, data={**form, "format": "srt"}).text
    found = msgspec.convert(ours, Transcript)
    assert SUM in found.text
    assert SUM in [word.text for segment in found.segments for word in segment.words if word.spoken]
    assert found.provenance["writing"]["numbers"] == "digits"
    assert theirs["text"] == found.text
    assert theirs["provenance"]["writing"] == found.provenance["writing"]
    assert SUM in srt


def test_a_stream_of_a_real_server(server: Server) -> None:
    """Finals have digits; with `redact` no partial shows what the final would mask."""
    start = json.dumps({"type": "start", "numbers": "digits", "redact": True})
    samples, _ = sounds.samples()
    raw = sounds.wav(samples, 16_000)[44:]
    with connect(server.url.replace("http", "ws", 1) + "/v1/stream", proxy=None) as socket:
        socket.send(start)
        for at in range(0, len(raw), 64_000):
            socket.send(raw[at : at + 64_000])
        socket.send(json.dumps({"type": "finish"}))
        messages: list[Any] = []
        while not messages or messages[-1]["type"] not in ("done", "error"):
            messages.append(json.loads(socket.recv(PATIENCE_S)))
    finals = [each["segment"] for each in messages if each["type"] == "final"]
    assert SUM in " ".join(each["text"] for each in finals)
    assert not [each for each in messages if each["type"] == "partial"]
    writing = messages[-1]["provenance"]["writing"]
    assert writing == {"rules": RULES_VERSION, "numbers": "digits", "redact": True}
