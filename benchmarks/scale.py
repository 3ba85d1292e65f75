"""What jobs cost Redis, and what 10, 100 and 1,000 workers need: docs/explanation/scale.md.

Redis is measured here, in processor seconds of its one main thread; so are the sizes of an order
and of a transcript. The speed of a worker is that of `longform_v3_hour.json` (processor seconds for
an hour of sound) unless `--speed` gives the one that you measured. No bar: it is a model.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis
import report

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import sounds  # noqa: E402 - the tests' helpers
from glagol.asr.http.rendering import stored  # noqa: E402
from glagol.asr.jobs.lease import TICK_S  # noqa: E402
from glagol.asr.jobs.payload import Work  # noqa: E402
from glagol.asr.jobs.service import WAITING_MAX  # noqa: E402
from glagol.jobs.queue import NewJob  # noqa: E402
from glagol.jobs.redis.queue import RedisQueue  # noqa: E402
from glagol.registry.registry import Registry  # noqa: E402
from glagol.speech.pipeline.recognizer import Recognizer  # noqa: E402
from jobs.redis_server import MEMORY, RedisServer  # noqa: E402

KIND, LEASE_S = "transcribe", 30.0
JOBS, CALLS = 300, 1_000
PCM_BYTES_H = 16_000 * 2 * 3600
"""An hour of 16 kHz and 16 bits, one channel."""

CALLS_PER_JOB = 3
"""Transitions that are synced to the disk: put, claim, finish."""

HOUR = 3600.0
WORKERS = (10, 100, 1_000)


@dataclass(frozen=True)
class Cost:
    """What was measured; times are processor seconds of Redis.

    Attributes:
        job_s: put, claim and finish of one job.
        look_s: one look at a running job.
        progress_s: one note of its progress.
        idle_s: one turn of a worker that finds nothing.
        kept_bytes: memory of an ended job without its result.
        log_bytes: of the append-only file, for one job without its result.
        order_bytes: of the order in a job.
        text_bytes_h: of a stored transcript for each hour of sound.
    """

    job_s: float
    look_s: float
    progress_s: float
    idle_s: float
    kept_bytes: float
    log_bytes: float
    order_bytes: int
    text_bytes_h: float


@dataclass(frozen=True)
class Need:
    """What a number of workers asks for while all are busy.

    Attributes:
        workers: how many, of one core each.
        sound_h: hours of sound in an hour.
        million_days: days for a million hours.
        jobs_s: jobs per second.
        redis_share: of one core, for its main thread.
        syncs_s: transitions per second that are synced, where Redis syncs always.
        network_mb_s: sound into the store and out of it again, in WAV.
        log_mb_s: bytes per second of the append-only file.
        kept_gb: memory of the jobs of a day with their results.
        full_min: minutes of work in a full queue.
    """

    workers: int
    sound_h: float
    million_days: float
    jobs_s: float
    redis_share: float
    syncs_s: float
    network_mb_s: float
    log_mb_s: float
    kept_gb: float
    full_min: float


def need(workers: int, cost: Cost, speed: float, job_h: float) -> Need:
    """The model: every worker always has a job, and tells Redis of it each `TICK_S`.

    Args:
        workers: of one core each.
        cost: of Redis.
        speed: times real time of a worker.
        job_h: hours of sound in a job.
    """
    sound_h = workers * speed
    jobs_s = sound_h / job_h / HOUR
    text_bytes = cost.text_bytes_h * job_h
    ticks_s = workers / TICK_S
    return Need(
        workers=workers,
        sound_h=sound_h,
        million_days=1e6 / sound_h / 24,
        jobs_s=jobs_s,
        redis_share=jobs_s * cost.job_s + ticks_s * max(cost.look_s, cost.progress_s),
        syncs_s=jobs_s * CALLS_PER_JOB + ticks_s,
        network_mb_s=2 * sound_h * PCM_BYTES_H / HOUR / 1e6,
        log_mb_s=jobs_s * (cost.log_bytes + text_bytes) / 1e6,
        kept_gb=jobs_s * 86400 * (cost.kept_bytes + text_bytes) / 1e9,
        full_min=WAITING_MAX / jobs_s / 60,
    )


def measured() -> Cost:
    """Run a Redis as the documents ask for, and count what it uses."""
    order, text_bytes_h = _sizes()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            return _measured(server, order, text_bytes_h)
        finally:
            server.kill()


def _sizes() -> tuple[bytes, float]:
    data = sounds.clip()
    transcript = Recognizer.open(Registry.load(ROOT)).transcribe(io.BytesIO(data))
    order = Work(
        model="gigaam-v3-e2e-ctc",
        language="auto",
        word_timestamps=True,
        format="json",
        audio_sha256="0" * 64,
        size_bytes=len(data),
        audio_s=transcript.duration_s,
        request_id="0" * 32,
    )
    return order.encoded(), len(stored(transcript)) / transcript.duration_s * HOUR


def _measured(server: RedisServer, order: bytes, text_bytes_h: float) -> Cost:
    client = redis.Redis(unix_socket_path=str(server.socket))
    queue = RedisQueue(server.url)

    def info(section: str) -> dict[str, Any]:
        found: dict[str, Any] = client.info(section)  # type: ignore[assignment]
        return found

    def spent() -> float:
        now = info("cpu")
        return now["used_cpu_user_main_thread"] + now["used_cpu_sys_main_thread"]

    def each(count: int, call: Callable[[int], object]) -> float:
        before = spent()
        for number in range(count):
            call(number)
        return (spent() - before) / count

    def job(number: int) -> None:
        queue.put(NewJob(id=f"job-{number}", kind=KIND, payload=order, idempotency_key=str(number)))
        claim = queue.claim("worker", [KIND], LEASE_S)
        assert claim is not None
        queue.finish(claim, b"{}")

    job(-1)
    memory, log = info("memory")["used_memory"], info("persistence")["aof_current_size"]
    job_s = each(JOBS, job)
    kept = (info("memory")["used_memory"] - memory) / JOBS
    logged = (info("persistence")["aof_current_size"] - log) / JOBS
    queue.put(NewJob(id="running", kind=KIND, payload=order))
    claim = queue.claim("worker", [KIND], 10 * HOUR)
    assert claim is not None
    look_s = each(CALLS, lambda _: queue.get("running"))
    progress_s = each(CALLS, lambda number: queue.progress(claim, number, CALLS))

    def idle(_: int) -> None:
        assert queue.claim("worker", [KIND], LEASE_S) is None
        queue.wait([KIND], 0.001)

    idle_s = each(CALLS // 10, idle)
    queue.close()
    client.close()
    return Cost(job_s, look_s, progress_s, idle_s, kept, logged, len(order), text_bytes_h)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", type=float, help="times real time of a worker of one core")
    parser.add_argument("--hours", type=float, default=0.1, help="of sound in a job")
    given = parser.parse_args()
    speed = given.speed or _kept_speed()
    cost = measured()
    needs = [need(workers, cost, speed, given.hours) for workers in WORKERS]
    figures = {"speed": speed, "job hours": given.hours, "cost": asdict(cost)}
    report.write("scale", figures | {str(each.workers): asdict(each) for each in needs})


def _kept_speed() -> float:
    """Times real time of one core, of the processor that the file names."""
    kept = json.loads((report.RESULTS / "amx/longform_v3_hour.json").read_text())["figures"]
    ours = kept["default"]["vs_fp32"]["glagol int8"]["processor_best_ms"] / 1000
    return float(kept["minutes"] * 60 / ours)


if __name__ == "__main__":
    main()
