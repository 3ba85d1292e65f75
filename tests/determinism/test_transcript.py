"""The same audio gives the same JSON bytes, whatever ran before, beside, and on which threads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import homes
import sounds
from asr.process import PACKAGES, start
from determinism.conftest import CASES
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.tasks import Job, Lane
from glagol.cli.main import main as glagol
from glagol.speech.output.formats import as_json
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options
from glagol.web import envelope

Opener = Callable[..., Recognizer]


def transcribed(recognizer: Recognizer, audio: bytes) -> bytes:
    """The transcript as JSON."""
    return as_json(recognizer.transcribe(io.BytesIO(audio)))


@pytest.mark.parametrize(("model", "variant"), CASES)
def test_threads_and_repetition(
    open_model: Opener, recordings: dict[str, bytes], model: str, variant: str
) -> None:
    """Ten runs of short audio, two of long, on one, two and three threads."""
    for name, audio in recordings.items():
        expected = transcribed(open_model(model, variant), audio)
        for threads, runs in ((1, 9), (2, 2), (3, 1)):
            for _ in range(runs if name == "short" else 1):
                assert transcribed(open_model(model, variant, threads), audio) == expected


@pytest.mark.parametrize(("model", "variant"), [CASES[0], CASES[3]])
def test_order_and_company(
    open_model: Opener, recordings: dict[str, bytes], model: str, variant: str
) -> None:
    """Requests in either order, in both lanes, four at a time on a session with two threads."""
    recognizer = open_model(model, variant, 2)
    audio = {**recordings, "silence": sounds.silence(31)}
    alone = {name: transcribed(open_model(model, variant), data) for name, data in audio.items()}
    for order in (list(audio), list(reversed(audio))):
        engine = InferencePool(
            model, lambda _: Opened(recognizer, {}), queue_size=99, clock=time.perf_counter,
            workers=4,
        )  # fmt: skip
        engine.start()
        jobs = [(name, _job(audio[name], lane)) for name in order for lane in LANES]
        for _, job in jobs:
            engine.put(job)
        for name, job in jobs:
            assert job.done.result(100)[1] == alone[name]
        engine.close(5)


LANES: tuple[Lane, ...] = ("quick", "long")


def _job(audio: bytes, lane: Lane) -> Job:
    """A job without a digest, so that its JSON is that of `transcribed`."""
    nothing: Any = None
    return Job(
        file=io.BytesIO(audio),
        audio_sha256=nothing,
        model=homes.MODEL,
        options=Options(),
        render=as_json,
        lane=lane,
    )


PROCESS = """
import io, sys
from pathlib import Path
from glagol.registry.registry import Registry
from glagol.speech.output.formats import as_json
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer
home, model, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
recognizer = Recognizer.open(Registry.load(home), model=model, runtime=Runtime(threads=threads))
for name in sys.argv[4:]:
    sys.stdout.buffer.write(as_json(recognizer.transcribe(io.BytesIO(Path(name).read_bytes()))))
"""


@pytest.mark.parametrize("model", [homes.MODEL, homes.OTHER])
def test_processes(home: Path, tmp_path: Path, recordings: dict[str, bytes], model: str) -> None:
    """Other hash seeds, locales, time zones and BLAS threads, in processes of their own."""
    files = []
    for name, audio in recordings.items():
        file = tmp_path / f"{name}.wav"
        file.write_bytes(audio)
        files.append(str(file))
    found = set()
    for blas, seed, zone in (("1", "0", "UTC"), ("7", "1", "Asia/Kamchatka")):
        world = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(p) for p in sorted(PACKAGES.glob("*/src"))),
            "OPENBLAS_NUM_THREADS": blas,
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": "C" if seed == "1" else "C.UTF-8",
        }
        command = [sys.executable, "-c", PROCESS, str(home), model, str(int(seed) % 3 + 1), *files]
        found.add(subprocess.run(command, env=world, check=True, capture_output=True).stdout)
    assert len(found) == 1
    assert len(found.pop()) > 1000


@pytest.mark.slow
def test_ways(
    home: Path,
    tmp_path: Path,
    recordings: dict[str, bytes],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A request that waits, a job, and the command line: the same `data`, byte for byte."""
    server = start(home, tmp_path / "scratch")
    try:
        with server.client() as client:
            for name, audio in recordings.items():
                path = tmp_path / f"{name}.wav"
                path.write_bytes(audio)
                arguments = ["transcribe", "--format", "json", "--home", str(home), str(path)]
                assert glagol(arguments) == 0
                printed = envelope.success(capfdbinary.readouterr().out.rstrip(b"\n"))
                assert client.put("/v1/transcribe", content=audio).content == printed
                assert _by_job(client, audio) == printed
    finally:
        server.stop()


def _by_job(client: httpx.Client, audio: bytes) -> bytes:
    """The result of an asynchronous transcription."""
    put = client.put("/v1/transcribe?async=true", content=audio)
    assert put.status_code == 202, put.text
    place = f"/v1/jobs/{put.json()['data']['id']}"
    while client.get(place).json()["data"]["state"] in ("queued", "running"):
        time.sleep(0.05)
    return client.get(f"{place}/result").content
