"""Jobs over HTTP and in the queue: everything that needs no model, with a real queue on disk."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import sounds
from asr.bench import Bench
from glagol.asr import events as event_stream
from glagol.asr import inputs, jobs, rendering, runner, work
from glagol.asr.job_wire import JobEnvelope, JobListEnvelope, JobView
from glagol.jobs.port import NewJob
from glagol.registry.errors import CODES, HostError, InputError
from glagol.service import audit, envelope
from glagol.service.policy import Jobs as Rules
from glagol.service.policy import Policy, Webhooks

URL = "/v1/transcribe?async=true"
PATIENCE_S = 30.0
SECRET = "whsec_" + "A" * 32
HOOK = "http://127.0.0.1:8443/hook"  # allowed below; nobody listens


@pytest.fixture
def bench(make_bench: Callable[..., Bench], tmp_path: Path) -> Bench:
    """A bench with jobs, and webhooks on."""
    policy = Policy(webhooks=Webhooks(secrets=(SECRET,), allow=("127.0.0.0/8",)))
    return make_bench(state=str(tmp_path / "state"), policy=lambda: policy)


def view(answer: httpx.Response) -> JobView:
    return msgspec.json.decode(answer.content, type=JobEnvelope).data


def code(answer: httpx.Response) -> str:
    body = msgspec.json.decode(answer.content, type=envelope.Failure).error
    assert answer.status_code == CODES[body.code].http_status
    return body.code


def submit(bench: Bench, query: str = "", **headers: str) -> JobView:
    answer = bench.send("PUT", URL + query, content=sounds.silence(1), headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == view(answer).links.self
    return view(answer)


def until(bench: Bench, job_id: str, *states: str) -> JobView:
    end = time.monotonic() + PATIENCE_S
    while (found := view(bench.send("GET", f"/v1/jobs/{job_id}"))).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def files(bench: Bench) -> list[str]:
    return [path.name for path in (Path(bench.service.settings.state) / "spool").iterdir()]


def deliveries(bench: Bench) -> list[dict[str, Any]]:
    page = bench.jobs.queue.page(kind="deliver")
    return [json.loads(json.loads(job.payload)["body"]) for job in page]


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
    assert bench.jobs.queue.page(kind=work.KIND) == []


def test_webhooks_without_a_secret_are_off(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Nobody could check an unsigned delivery, so none is promised."""
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
    assert len(bench.jobs.queue.page(kind=work.KIND)) == 2


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
    told = deliveries(bench)
    assert {each["data"]["job"]["id"] for each in told} == {running.id, waiting.id}
    assert [each["type"] for each in told] == ["transcription.cancelled"] * 2
    assert view(bench.send("DELETE", running.links.self)).state == "cancelled"
    assert code(bench.send("POST", f"{running.links.self}/replay")) == "job_state"


def test_the_machines_trouble_is_tried_again_then_waits_as_dead_letter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts; listed as failed with its error and its input; replayed, it is done."""
    monkeypatch.setattr(runner, "FIRST_RETRY_S", 0.01)
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
    told = deliveries(bench)[0]
    assert (told["type"], told["data"]["result"]["text"]) == ("transcription.completed", "да")
    assert files(bench) == []


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


def test_events_end_with_the_job_and_go_on_where_they_stopped(bench: Bench) -> None:
    """Ids grow; who knows some hears the rest; who knows the end is told not to come back."""
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
    assert code(bench.send("GET", f"/v1/jobs/{work.name(1.0)}")) == "job_expired"
    assert code(bench.send("GET", f"/v1/jobs/{work.name(bench.jobs.clock())}")) == "job_unknown"
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


def test_a_job_belongs_to_whoever_made_it(bench: Bench) -> None:
    """Another key gets what a stranger gets, and may use the same idempotency key."""
    order = msgspec.convert(
        {
            "model": "tiny", "language": "ru", "word_timestamps": True, "format": "json",
            "audio_sha256": "0" * 64, "size_bytes": 3, "audio_s": 1.0,
        },
        work.Work,
    )  # fmt: skip
    mine = [
        bench.jobs.submit(order, _file(b"abc"), owner=owner, idempotency_key="k")[0]
        for owner in ("anna", "boris")
    ]
    assert mine[0].id != mine[1].id
    assert bench.jobs.get(mine[0].id, "anna").owner == "anna"
    assert bench.jobs.get(mine[0].id, None).owner == "anna"
    for act in (bench.jobs.get, bench.jobs.cancel, bench.jobs.replay):
        with pytest.raises(InputError, match="there is no job"):
            act(mine[0].id, "boris")


def test_the_spool_has_a_quota_and_leaves_room_on_the_disk(
    make_bench: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by what is announced, and while it arrives; what was taken is given back."""
    policy = Policy(jobs=Rules(spool_bytes=1 << 20))
    bench = make_bench(state=str(tmp_path / "state"), policy=lambda: policy)
    big = sounds.silence(90)
    assert code(bench.send("PUT", URL, content=big)) == "spool_full"

    async def pieces() -> Any:
        for at in range(0, len(big), 1 << 16):
            yield big[at : at + (1 << 16)]

    assert code(bench.send("PUT", URL, content=pieces())) == "spool_full"
    assert files(bench) == []
    submit(bench)
    monkeypatch.setattr(inputs, "FREE_BYTES_MIN", 1 << 60)
    assert code(bench.send("PUT", URL, content=sounds.silence(1))) == "disk_full"


def test_a_full_queue_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a time to come back."""
    monkeypatch.setattr(jobs, "WAITING_MAX", 0)
    answer = bench.send("PUT", URL, content=sounds.silence(1))
    assert code(answer) == "queue_full"
    assert int(answer.headers["retry-after"]) >= 1


def test_orphans_go_inputs_of_jobs_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a job goes when it is old; one whose job waits or failed stays."""
    bench.stub.error = InputError("audio_truncated", "it ends in the middle", "send all of it")
    failed = submit(bench)
    until(bench, failed.id, "failed")
    bench.jobs.inputs.keep(_file(b"nobody's"), "orphan")
    spool = Path(bench.service.settings.state) / "spool"
    (spool / ".half.part").write_bytes(b"ha")
    bench.jobs.sweep()
    assert sorted(files(bench)) == sorted([".half.part", "orphan", failed.id])
    monkeypatch.setattr(inputs, "ORPHAN_S", -1.0)
    bench.jobs.sweep()
    assert files(bench) == [failed.id]


def test_a_job_that_died_alone_is_spoken_for(bench: Bench) -> None:
    """Its last lease ran out with nobody there: the receiver is told all the same."""
    order = work.Work(
        model="tiny", language="ru", word_timestamps=True, format="json", audio_sha256="0" * 64,
        size_bytes=1, audio_s=None, webhook_url=HOOK,
    )  # fmt: skip
    queue = bench.jobs.queue
    queue.put(
        NewJob(
            id="alone", kind="sleep", payload=order.encoded(), attempts_max=1, heir_kind="notify"
        )
    )
    assert queue.claim("dead", ["sleep"], 0.05) is not None
    time.sleep(0.1)
    assert queue.claim("other", ["sleep"], 1.0) is None
    end = time.monotonic() + PATIENCE_S
    while not deliveries(bench):
        assert time.monotonic() < end
        time.sleep(0.02)
    told = deliveries(bench)[0]
    assert (told["type"], told["data"]["job"]["id"]) == ("transcription.failed", "alone")
    assert told["data"]["error"]["code"] == "attempts_exhausted"


def test_shutting_down_gives_the_job_back(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """The next process finishes it, and the attempt that was broken off does not count."""
    first = make_bench(state=str(tmp_path / "state"))
    first.stub.gate.clear()
    made = submit(first)
    assert first.stub.entered.wait(PATIENCE_S)
    first.service.engine.close(0.0)
    first.close()
    second = make_bench(state=str(tmp_path / "state"))
    found = until(second, made.id, "done")
    assert (found.attempt, found.attempts_max) == (2, 4)


def test_metrics_show_the_queue(bench: Bench) -> None:
    """What this process did, at once; what the queue holds, within seconds."""
    until(bench, submit(bench).id, "done")
    text = bench.send("GET", "/metrics").text
    assert 'asr_job_attempts_total{outcome="done"} 1.0' in text
    assert "asr_jobs_reachable 1.0" in text
    assert 'path="/v1/jobs/{job_id}"' in text or 'route="/v1/jobs/{job_id}"' in text


def test_every_transcript_leaves_a_line_in_the_audit_log(bench: Bench) -> None:
    """Answered at once, streamed or as a job; the chain is whole, and no text is in it."""
    log = Path(bench.service.settings.state) / "audit.log"
    audio = sounds.silence(1)
    bench.send("PUT", "/v1/transcribe", content=audio, headers={"X-Request-ID": "first"})
    made = submit(bench)
    until(bench, made.id, "done")
    form = {"files": {"file": ("x.wav", audio)}, "data": {"stream": "true"}}
    assert bench.send("POST", "/v1/audio/transcriptions", **form).status_code == 200
    assert (audit.verify(log).lines, audit.verify(log).fault) == (3, "")
    first, second, _ = audit.lines(log)
    assert (first["request"], first.get("job", "")) == ("first", "")
    assert second["job"] == made.id
    for line in (first, second):
        assert line["transcript_sha256"] == hashlib.sha256("да".encode()).hexdigest()
        assert line["input_sha256"] == hashlib.sha256(audio).hexdigest()
    assert "да" not in log.read_text()
    log.write_text("not ours\n")
    assert bench.send("PUT", "/v1/transcribe", content=audio).status_code == 200
    assert log.read_text() == "not ours\n"


def test_stored_results_keep_every_digit() -> None:
    """Numbers that are whole stay whole: the stored JSON is never parsed for json."""
    data = b'{"text":"","segments":[],"duration":1.0,"language":"ru","coverage":{},"x":250}'
    assert rendering.render_stored("json", data) == envelope.success(data)


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)
