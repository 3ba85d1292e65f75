"""Jobs over HTTP and in the queue: everything that needs no model, with a real queue on disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import (
    HOOK,
    PATIENCE_S,
    SECRET,
    URL,
    code,
    deliveries,
    files,
    submit,
    until,
    view,
)
from glagol.asr.inference.models import OpenModels
from glagol.asr.jobs import events as event_stream
from glagol.asr.jobs import payload, runner
from glagol.asr.jobs.schemas import JobListEnvelope
from glagol.core.errors import HostError, InputError
from glagol.jobs.backoff import Backoff
from glagol.web.access.policy import Policy, Webhooks


@pytest.fixture
def bench(make_bench: Callable[..., Bench], tmp_path: Path) -> Bench:
    """A bench with jobs, and webhooks on."""
    policy = Policy(webhooks=Webhooks(secrets=(SECRET,), allow=("127.0.0.0/8",)))
    return make_bench(state=str(tmp_path / "state"), policy=lambda: policy)


def events(bench: Bench, job_id: str, last: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Status and events, once the stream has ended."""
    headers = {"Last-Event-ID": last} if last else {}
    answer = bench.send("GET", f"/v1/jobs/{job_id}/events", headers=headers)
    found = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if "data" in lines:
            found.append({**lines, "data": json.loads(lines["data"])})
    return answer.status_code, found


def test_a_job_goes_its_way(bench: Bench) -> None:
    """202, done, the result in every format as the synchronous route renders it, input gone."""
    audio = sounds.silence(1)
    made = submit(bench, "&format=srt")
    assert made.progress.total_s == pytest.approx(1.0, abs=0.1)
    found = until(bench, made.id, "done")
    assert (found.attempt, found.error, found.progress.done_s) == (1, None, 1.0)
    assert found.links.result == f"/v1/jobs/{made.id}/result"
    for form in ("json", "text", "srt", "vtt", "tsv"):
        now = bench.send("PUT", f"/v1/transcribe?format={form}", content=audio)
        later = bench.send("GET", f"/v1/jobs/{made.id}/result?format={form}")
        assert (later.content, later.headers["content-type"]) == (
            now.content,
            now.headers["content-type"],
        )
    default = bench.send("GET", f"/v1/jobs/{made.id}/result")
    assert default.headers["content-type"].startswith("application/x-subrip")
    assert files(bench) == []


def test_the_form_may_say_it_too(bench: Bench) -> None:
    """async as a field behind the file: the body went elsewhere first and is brought over."""
    big = sounds.silence(90)  # more than stays in memory
    answer = bench.send(
        "POST", "/v1/transcribe", files={"file": ("x.wav", big)}, data={"async": "1"}
    )
    assert answer.status_code == 202, answer.text
    until(bench, view(answer).id, "done")
    assert bench.stub.calls[-1][0] == len(big)


def test_what_is_refused_leaves_nothing(bench: Bench) -> None:
    """No job and no file, whichever way the request is wrong."""
    bad = {"Idempotency-Key": "two words"}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("option_invalid", f"{URL}&channel=third", {"content": sounds.silence(1)}),
        ("audio_unreadable", URL, {"content": b"not audio"}),
        ("audio_empty", URL, {"content": b""}),
        ("request_invalid", URL, {"content": sounds.silence(1), "headers": bad}),
        ("webhook_refused", f"{URL}&webhook_url=http://10.0.0.1/", {"content": b"x"}),
        ("webhook_refused", f"{URL}&webhook_url=ftp://example.org/", {"content": b"x"}),
        ("model_unknown", f"{URL}&model=x", {"content": b"x"}),
    ]
    for expected, url, rest in cases:
        assert code(bench.send("PUT", url, **rest)) == expected
    assert files(bench) == []
    assert bench.jobs.queue.page(kind=payload.KIND) == []


def test_webhooks_without_a_secret_are_off(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """No receiver could check an unsigned delivery, so none is promised."""
    bench = make_bench(state=str(tmp_path / "state"))
    answer = bench.send("PUT", f"/v1/transcribe?webhook_url={HOOK}", content=sounds.silence(1))
    assert code(answer) == "webhook_refused"


def test_a_key_gives_the_same_job_and_refuses_another_request(bench: Bench) -> None:
    """Same bytes and options: the job of before, whatever its state; any other: 409."""
    headers = {"Idempotency-Key": "a"}
    first = submit(bench, **headers)
    until(bench, first.id, "done")
    again = bench.send("PUT", URL, content=sounds.silence(1), headers=headers)
    assert (again.status_code, view(again).id) == (200, first.id)
    assert again.headers["idempotency-replayed"] == "true"
    for url, audio in ((URL, sounds.silence(2)), (f"{URL}&format=vtt", sounds.silence(1))):
        answer = bench.send("PUT", url, content=audio, headers=headers)
        assert code(answer) == "idempotency_conflict"
    assert submit(bench, **{"Idempotency-Key": "b"}).id != first.id
    assert len(bench.jobs.queue.page(kind=payload.KIND)) == 2


def test_a_waiting_job_is_cancelled_at_once_a_running_one_between_chunks(bench: Bench) -> None:
    """Both tell their receivers, once, and leave no input."""
    bench.stub.gate.clear()
    running = submit(bench, f"&webhook_url={HOOK}")
    assert bench.stub.entered.wait(PATIENCE_S)
    waiting = submit(bench, f"&webhook_url={HOOK}")
    assert view(bench.send("GET", waiting.links.self)).ahead == 0
    answer = bench.send("DELETE", waiting.links.self)
    assert (answer.status_code, view(answer).state) == (200, "cancelled")
    answer = bench.send("DELETE", running.links.self)
    assert (answer.status_code, view(answer).cancelling) == (202, True)
    until(bench, running.id, "cancelled")
    assert bench.stub.cancelled.is_set()
    assert files(bench) == []
    bodies = deliveries(bench)
    assert {each["data"]["job"]["id"] for each in bodies} == {running.id, waiting.id}
    assert [each["type"] for each in bodies] == ["transcription.cancelled"] * 2
    assert code(bench.send("POST", f"{running.links.self}/replay")) == "job_state"


def test_the_machines_trouble_is_tried_again_then_waits_as_dead_letter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts; listed as failed with its error and its input; replayed, it is done."""
    monkeypatch.setattr(runner, "TRANSCRIPTION", Backoff(0.01, 4.0, 300.0))
    bench.stub.error = HostError("host_io", "the disk hiccups", "look at the disk")
    made = submit(bench, f"&webhook_url={HOOK}")
    found = until(bench, made.id, "failed")
    assert (found.attempt, found.error and found.error.code) == (3, "host_io")
    page = msgspec.json.decode(
        bench.send("GET", "/v1/jobs?state=failed").content, type=JobListEnvelope
    ).data
    assert [job.id for job in page.jobs] == [made.id]
    assert [each["data"]["error"]["code"] for each in deliveries(bench)] == ["host_io"]
    assert files(bench) == [made.id]
    bench.stub.error = None
    answer = bench.send("POST", f"{made.links.self}/replay")
    assert answer.status_code == 202
    found = until(bench, made.id, "done")
    assert found.attempt == 4
    body = deliveries(bench)[0]
    assert (body["type"], body["data"]["result"]["text"]) == ("transcription.completed", "да")
    assert files(bench) == []


def test_a_job_that_finds_no_room_gives_its_runner_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes back to the queue, without an attempt spent, and is done when there is room."""
    monkeypatch.setattr(runner, "ROOM_S", 0.0)
    monkeypatch.setattr(runner, "WAIT_S", 0.02)
    with monkeypatch.context() as patch:
        patch.setattr(OpenModels, "lease", lambda *_: None)
        made = submit(bench)
        deadline = time.monotonic() + PATIENCE_S
        while dict(bench.jobs.attempts.items()).get("again", 0) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert view(bench.send("GET", made.links.self)).state in {"queued", "running"}
    assert until(bench, made.id, "done").error is None


def test_the_callers_mistake_and_our_own_bug(bench: Bench) -> None:
    """Wrong audio is not tried again; a bug is, but first it waits."""
    bench.stub.error = InputError("audio_truncated", "it ends in the middle", "send all of it")
    found = until(bench, submit(bench).id, "failed")
    assert (found.attempt, found.error and found.error.code) == (1, "audio_truncated")
    bench.stub.error = TimeoutError("of the model's own")
    made = submit(bench)
    end = time.monotonic() + PATIENCE_S
    while (found := view(bench.send("GET", made.links.self))).error is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (found.state, found.error.code) == ("queued", "internal")
    assert "model's own" not in found.error.message


def test_events_end_with_the_job_and_resume_where_they_stopped(bench: Bench) -> None:
    """Ids grow; a reader that has some gets the rest; one that has the last gets 204."""
    made = submit(bench)
    status, found = events(bench, made.id)
    assert status == 200
    assert found[-1]["data"]["state"] == "done"
    assert {event["event"] for event in found} <= {"state", "progress"}
    ids = [int(event["id"]) for event in found]
    assert ids == sorted(set(ids))
    status, rest = events(bench, made.id, last=str(ids[-1] - 1))
    assert (status, [int(event["id"]) for event in rest]) == (200, [ids[-1]])
    assert events(bench, made.id, last=str(ids[-1])) == (204, [])
    assert code(bench.send("GET", "/v1/jobs/nothing/events")) == "job_unknown"


def test_a_quiet_stream_is_kept_alive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments while nothing changes, which every reader of events skips."""
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.0)
    bench.stub.gate.clear()
    made = submit(bench)
    threading.Timer(2.0, bench.stub.gate.set).start()
    text = bench.send("GET", f"/v1/jobs/{made.id}/events").text
    assert "\n: " in text
    assert text.rstrip().endswith("}")


def test_what_is_unknown_expired_or_too_early(bench: Bench) -> None:
    """404 for what was never there, 410 for what was surely forgotten, 409 before the end."""
    bench.stub.gate.clear()
    made = submit(bench)
    assert code(bench.send("GET", f"{made.links.self}/result")) == "job_state"
    bench.stub.gate.set()
    until(bench, made.id, "done")
    bench.jobs.clock = lambda: time.time() + 90000
    for path in ("", "/result", "/events"):
        assert code(bench.send("GET", f"/v1/jobs/{made.id}{path}")) == "job_expired"
    assert code(bench.send("GET", f"/v1/jobs/{payload.name(1.0)}")) == "job_expired"
    assert code(bench.send("GET", f"/v1/jobs/{payload.name(bench.jobs.clock())}")) == "job_unknown"
    for url in ("/v1/jobs/..%2f", "/v1/jobs/" + "x" * 300, "/v1/jobs?before=x"):
        assert code(bench.send("GET", url)) in ("job_unknown", "not_found")
    for url in ("/v1/jobs?state=lost", "/v1/jobs?limit=0", "/v1/jobs?x=1", "/v1/jobs?limit=²"):
        assert code(bench.send("GET", url)) == "option_invalid"


def test_pages_have_every_job_once(bench: Bench) -> None:
    """Newest first, in pages of two."""
    made = [submit(bench).id for _ in range(5)]
    seen, url = [], "/v1/jobs?limit=2"
    while url:
        page = msgspec.json.decode(bench.send("GET", url).content, type=JobListEnvelope).data
        seen += [job.id for job in page.jobs]
        url = f"/v1/jobs?limit=2&before={page.next}" if page.next else ""
    assert seen == made[::-1]
