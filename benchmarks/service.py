"""What the service costs: over the bare engine, under 500 connections, by the gigabyte, by worker.

The bars: median overhead <= 5 ms for a clip of 5 s; `/health` <= 50 ms at the median while 500
connections saturate the model, and memory back within 10 % when they are gone; a 1 GiB upload costs
<= 64 MiB; two workers on one Redis do >= 1.8 times the jobs of one where there are two free cores.
Names of parts as arguments run only those: overhead, burst, upload, workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import report

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import sounds  # noqa: E402 - the tests' helpers
from asr.process import Server, start, start_worker  # noqa: E402
from homes import make_home  # noqa: E402
from jobs.redis_server import RedisServer  # noqa: E402

URL = "/v1/transcribe"
MIB = 1 << 20


def rss_bytes(server: Server, field: str = "VmRSS") -> int:
    """What of the server's memory is resident, now or at most."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024


def overhead(home: Path, folder: Path) -> dict[str, object]:
    """The same clip by the recogniser in this process and by the server, in turns."""
    from glagol.asr.inference.threads import divide, usable
    from glagol.registry.registry import Registry
    from glagol.runtime.options import Runtime
    from glagol.speech.pipeline.recognizer import Recognizer

    data, rate = sounds.samples()
    clip = sounds.wav(data[: 5 * rate], rate)
    digest = hashlib.sha256(clip).hexdigest()
    recognizer = Recognizer.open(
        Registry.load(home), runtime=Runtime(threads=divide(0, usable())[0])
    )
    server = start(home, folder / "overhead")
    bare, served = [], []
    with server.client() as client:
        for turn in range(210):
            began = time.perf_counter()
            recognizer.transcribe(io.BytesIO(clip), audio_sha256=digest)
            middle = time.perf_counter()
            answer = client.put(URL, content=clip)
            ended = time.perf_counter()
            assert answer.status_code == 200, answer.text
            if turn >= 10:
                bare.append(1000 * (middle - began))
                served.append(1000 * (ended - middle))
    server.stop()
    apart = [over - under for under, over in zip(bare, served, strict=True)]
    return {
        "overhead_bare_ms": statistics.median(bare),
        "overhead_served_ms": statistics.median(served),
        "overhead_median_ms": statistics.median(apart),
        "overhead_best_ms": min(served) - min(bare),
    }


def burst(home: Path, folder: Path) -> dict[str, object]:
    """500 callers that obey Retry-After, and one that asks for health."""
    server = start(home, folder / "burst", ASR_LOG_LEVEL="error")
    child = _burst(server.url, 8)  # so that every thread has worked before memory is looked at
    time.sleep(5)
    _end(child)
    time.sleep(35)
    before = rss_bytes(server)
    child = _burst(server.url, 500)
    time.sleep(5)
    times, ends = [], time.monotonic() + 20
    with server.client() as client:
        while time.monotonic() < ends:
            began = time.perf_counter()
            assert client.get("/health").status_code == 200
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
        during = rss_bytes(server)
        text = client.get("/metrics").text
        _end(child)
        time.sleep(35)  # the server tidies up every half minute
        client.put(URL, content=sounds.clip())
    after = rss_bytes(server)
    server.stop()
    answers = {
        line.partition("status=")[2][1:4]: 0.0
        for line in text.splitlines()
        if line.startswith("asr_requests_total") and URL in line
    }
    for line in text.splitlines():
        if line.startswith("asr_requests_total") and URL in line:
            answers[line.partition("status=")[2][1:4]] += float(line.split()[-1])
    times.sort()
    return {
        "burst_health_median_ms": statistics.median(times),
        "burst_health_p99_ms": times[int(0.99 * len(times))],
        "burst_health_asked": len(times),
        "burst_answers": answers,
        "burst_rss_before_mib": before / MIB,
        "burst_rss_during_mib": during / MIB,
        "burst_rss_after_mib": after / MIB,
        "burst_rss_ratio": after / before,
    }


def _burst(url: str, callers: int) -> int:
    """A process full of callers; a processor's turn of its own."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            asyncio.run(_load(url, callers))
        os._exit(0)
    return child


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


async def _load(url: str, callers: int) -> None:
    place = urlsplit(url)
    clip = sounds.clip()
    head = f"PUT {URL} HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(clip)}\r\n\r\n".encode()

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(place.hostname, place.port)
                while True:
                    writer.write(head + clip)
                    await writer.drain()
                    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(answer.partition(b"content-length: ")[2].split()[0])
                    await reader.readexactly(length)
                    pause = answer.partition(b"retry-after: ")[2].split()
                    await asyncio.sleep(min(int(pause[0]), 5) if pause else 0.5)
            await asyncio.sleep(1)

    await asyncio.gather(*(one() for _ in range(callers)))


def upload(home: Path, folder: Path) -> dict[str, object]:
    """1 GiB around the clip, to be answered at once and as a job."""
    server = start(home, folder / "upload")
    found: dict[str, object] = {}
    with server.client() as client:
        for _ in range(3):
            client.put(URL, content=sounds.clip())
        for name, query in (("sync", ""), ("job", "?async=true")):
            Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak begins anew
            before = rss_bytes(server)
            began = time.perf_counter()
            answer = client.put(URL + query, content=_padded(1 << 30))
            assert answer.status_code in (200, 202), answer.text
            found[f"upload_{name}_s"] = time.perf_counter() - began
            found[f"upload_{name}_rss_growth_mib"] = (rss_bytes(server, "VmHWM") - before) / MIB
    server.stop()
    return found


def _padded(size: int) -> Iterator[bytes]:
    clip = sounds.clip()
    yield b"RIFF" + struct.pack("<I", len(clip) + size) + clip[8:12]
    yield b"JUNK" + struct.pack("<I", size)
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield clip[12:]


def workers(home: Path, folder: Path) -> dict[str, object]:
    """Jobs a minute of one and of two workers, each on a core of its own, on one Redis."""
    cores = sorted(os.sched_getaffinity(0))
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for turn in "abc":  # in turns: what else the machine does falls on both
        for count, of in speeds.items():
            of.append(_jobs_a_minute(home, folder / f"{count}-{turn}", cores[:count]))
    return {
        "workers_1_jobs_per_minute": statistics.median(speeds[1]),
        "workers_2_jobs_per_minute": statistics.median(speeds[2]),
        "workers_ratio": statistics.median(speeds[2]) / statistics.median(speeds[1]),
        "workers_ratio_best": max(speeds[2]) / max(speeds[1]),
    }


def _jobs_a_minute(home: Path, folder: Path, cores: list[int]) -> float:
    from glagol.asr.jobs.payload import Work
    from glagol.asr.jobs.service import open_jobs
    from glagol.asr.settings import Settings
    from glagol.web.access.policy import Policy

    folder.mkdir()
    redis = RedisServer(Path(tempfile.mkdtemp(prefix="glagol-redis-")))
    redis.start()
    state = folder / "state"
    jobs = open_jobs(Settings(state=str(state), redis_url=redis.url), Policy)
    audio = sounds.long_speech(60)
    order = Work(
        model="gigaam-nano",
        language="ru",
        word_timestamps=True,
        format="json",
        audio_sha256=hashlib.sha256(audio).hexdigest(),
        size_bytes=len(audio),
        audio_s=None,
    )
    running = []
    for core in cores:
        os.sched_setaffinity(0, {core})  # the child inherits it
        running.append(
            start_worker(
                home,
                folder / f"worker-{core}",
                ASR_STATE=str(state),
                ASR_REDIS_URL=redis.url,
                ASR_THREADS="1",
            )
        )
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    made = 40
    for _ in range(made):
        jobs.submit(order, io.BytesIO(audio), owner="", idempotency_key="")
    began = time.monotonic()
    while jobs.queue.depth("transcribe").queued + jobs.queue.depth("transcribe").running:
        time.sleep(0.05)
    minutes = (time.monotonic() - began) / 60
    for worker in running:
        worker.stop()
    jobs.queue.close()
    redis.kill()
    return made / minutes


def main() -> None:
    """Print and store the figures."""
    parts = {"overhead": overhead, "burst": burst, "upload": upload, "workers": workers}
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        home = make_home(Path(name) / "home")
        for part in sys.argv[1:] or parts:
            figures |= parts[part](home, Path(name))
            print({key: value for key, value in figures.items() if key.startswith(part)})
    report.write("service" if len(sys.argv) == 1 else f"service-{'-'.join(sys.argv[1:])}", figures)


if __name__ == "__main__":
    main()
