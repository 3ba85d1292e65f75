"""A job that is transcribed and summarised; its transcript outlives every trouble of the LLM."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import code, until, view
from glagol.asr.summary_client import added, summary_of
from glagol.core.errors import HostError
from glagol.web.access.policy import Policy, Summaries
from llm.served import summarising
from llm.summarize.test_summaries import TRANSCRIPT, service_of
from llm.summarize.test_summarize import FakeModel

URL = "/v1/transcribe?summarize=true"
NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def model() -> FakeModel:
    """The model behind llm-server; it answers unless a test makes it wait."""
    return FakeModel()


@pytest.fixture(scope="module")
def llm(model: FakeModel) -> Iterator[str]:
    """llm-server's address."""
    with summarising(service_of(model)) as address:
        yield address


def bench_of(make_bench: Callable[..., Bench], folder: Path, url: str) -> Bench:
    policy = Policy(summaries=Summaries(url=url))
    return make_bench(state=str(folder / "state"), policy=lambda: policy)


def finished(bench: Bench) -> dict[str, Any]:
    """The data of a job that was asked for with a summary."""
    answer = bench.send("PUT", URL, content=sounds.silence(1))
    assert answer.status_code == 202, answer.text
    job = view(answer).id
    until(bench, job, "done")
    plain = bench.send("PUT", "/v1/transcribe?format=text", content=sounds.silence(1))
    assert bench.send("GET", f"/v1/jobs/{job}/result?format=text").content == plain.content
    data: dict[str, Any] = bench.send("GET", f"/v1/jobs/{job}/result").json()["data"]
    return data


def test_a_jobs_result_carries_its_summary(
    make_bench: Callable[..., Bench], tmp_path: Path, llm: str
) -> None:
    """Beside the transcript; other formats are what they were."""
    data = finished(bench_of(make_bench, tmp_path, llm))
    assert data["summary_error"] is None
    assert data["summary"]["coverage"]["covered"] == len(data["segments"])
    assert data["summary"]["provenance"]["model"] == "fake"


def test_without_the_model_the_transcript_is_there(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """The job is done; what went wrong stands where the summary would."""
    data = finished(bench_of(make_bench, tmp_path, NO_SERVER))
    assert data["segments"]
    assert data["summary"] is None
    assert data["summary_error"]["code"] == "llm_unavailable"


def test_a_server_without_a_model_refuses_at_once(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Before its body is read, which is wrong, too; so is a value that is neither yes nor no."""
    bench = bench_of(make_bench, tmp_path, "")
    for query in (URL, "/v1/transcribe?summarize=perhaps"):
        answer = bench.send("PUT", query, content=b"")
        assert code(answer) == "option_invalid"
        assert answer.status_code == 400


def test_a_summary_is_the_servers_to_the_byte(llm: str) -> None:
    """The client changes nothing of it."""
    seen: list[Any] = []
    mine = summary_of({"transcript": TRANSCRIPT}, llm, on_progress=seen.append)
    theirs = httpx.post(f"{llm}/v1/summarize", json={"transcript": TRANSCRIPT}).content
    assert theirs == b'{"success":true,"data":%b,"error":null}' % mine
    assert [(now.step, now.done, now.total) for now in seen] == [("map", 0, 1), ("map", 1, 1)]


def test_what_the_server_says_is_the_error(llm: str) -> None:
    """By code; an empty transcript is the caller's, with its transcript kept."""
    stored = json.dumps({"text": "", "segments": []}).encode()
    found = added(stored, llm)
    assert found.code == "text_empty"
    data = json.loads(found.data)
    assert (data["text"], data["summary"]) == ("", None)
    assert data["summary_error"]["code"] == "text_empty"


def test_a_cancelled_job_lets_the_model_go(llm: str, model: FakeModel) -> None:
    """The client goes, so the server ends its requests."""
    held = threading.Event()

    async def wait() -> None:
        held.set()
        await asyncio.sleep(60)

    model.wait = wait
    try:
        text = "\n".join(["слово " * 50] * 100)
        with pytest.raises(HostError) as caught:
            summary_of({"text": text}, llm, cancelled=lambda: True)
        assert caught.value.code == "cancelled"
        assert held.wait(30)
        stop = threading.Event()
        while model.together:
            assert not stop.wait(0.02)
    finally:
        model.wait = None
