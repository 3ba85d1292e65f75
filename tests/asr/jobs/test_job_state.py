"""What jobs leave and keep: owners, quota, orphans, notices of the dead, metrics, audit lines."""

from __future__ import annotations

import hashlib
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
)
from glagol.asr.http import rendering
from glagol.asr.jobs import inputs, payload, service
from glagol.core.errors import InputError
from glagol.jobs.queue import NewJob
from glagol.web import audit_log, envelope
from glagol.web.access.policy import Jobs as Rules
from glagol.web.access.policy import Policy, Webhooks


@pytest.fixture
def bench(make_bench: Callable[..., Bench], tmp_path: Path) -> Bench:
    """A bench with jobs, and webhooks on."""
    policy = Policy(webhooks=Webhooks(secrets=(SECRET,), allow=("127.0.0.0/8",)))
    return make_bench(state=str(tmp_path / "state"), policy=lambda: policy)


def test_a_job_belongs_to_the_key_that_made_it(bench: Bench) -> None:
    """Another key gets what a stranger gets, and may use the same idempotency key."""
    order = msgspec.convert(
        {
            "model": "tiny", "language": "ru", "word_timestamps": True, "format": "json",
            "audio_sha256": "0" * 64, "size_bytes": 3, "audio_s": 1.0,
        },
        payload.Work,
    )  # fmt: skip
    mine = [
        bench.jobs.submit(order, _file(b"abc"), owner=owner, idempotency_key="k")[0]
        for owner in ("anna", "boris")
    ]
    assert mine[0].id != mine[1].id
    assert bench.jobs.get(mine[0].id, "anna").owner == "anna"
    assert bench.jobs.get(mine[0].id, None).owner == "anna"
    for act in (bench.jobs.get, bench.jobs.end, bench.jobs.replay):
        with pytest.raises(InputError, match="there is no job"):
            act(mine[0].id, "boris")
    ancient = "0" * 12 + "a" * 20  # of 1970: one that is not there has expired
    bench.jobs.queue.put(NewJob(id=ancient, kind="transcribe", payload=order.encoded(), owner="a"))
    for job_id in (ancient, "0" * 12 + "b" * 20):
        with pytest.raises(InputError) as caught:
            bench.jobs.get(job_id, "boris")
        assert caught.value.code == "job_expired"
    for delivery_id in (ancient, "wh_none"):
        refused = bench.send("GET", f"/v1/deliveries/{delivery_id}").json()["error"]
        assert refused["message"] == f"there is no delivery {delivery_id!r}"


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
    monkeypatch.setattr(service, "WAITING_MAX", 0)
    answer = bench.send("PUT", URL, content=sounds.silence(1))
    assert code(answer) == "queue_full"
    assert int(answer.headers["retry-after"]) >= 1


def test_orphans_go_inputs_of_jobs_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a job goes when it is old; one whose job waits or failed stays."""
    bench.stub.error = InputError("audio_truncated", "it ends in the middle", "send all of it")
    failed = submit(bench)
    until(bench, failed.id, "failed")
    bench.jobs.inputs.keep(_file(b"of no job"), "orphan")
    spool = Path(bench.service.settings.state) / "spool"
    (spool / ".half.part").write_bytes(b"ha")
    bench.jobs.sweep()
    assert sorted(files(bench)) == sorted([".half.part", "orphan", failed.id])
    monkeypatch.setattr(inputs, "ORPHAN_S", -1.0)
    bench.jobs.sweep()
    assert files(bench) == [failed.id]


def test_a_job_that_died_alone_is_spoken_for(bench: Bench) -> None:
    """Its last lease expired without a worker: the receiver gets a webhook all the same."""
    order = payload.Work(
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
    body = deliveries(bench)[0]
    assert (body["type"], body["data"]["job"]["id"]) == ("transcription.failed", "alone")
    assert body["data"]["error"]["code"] == "attempts_exhausted"


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
    end = time.monotonic() + PATIENCE_S  # it is counted just after it is done
    while 'outcome="done"} 1.0' not in (text := bench.send("GET", "/metrics").text):
        assert time.monotonic() < end, text
        time.sleep(0.02)
    assert 'asr_job_attempts_total{outcome="done"} 1.0' in text
    assert "asr_jobs_set_aside_total 0.0" in text
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
    assert (audit_log.verify(log).lines, audit_log.verify(log).fault) == (3, "")
    first, second, _ = audit_log.lines(log)
    assert (first["request"], first.get("job", "")) == ("first", "")
    assert len(first["call"]) == 32
    assert second["job"] == made.id
    assert "call" not in second
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
