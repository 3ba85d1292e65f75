"""Two lanes in one engine: which job waits for which, and that no transcript depends on it."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import BinaryIO

from hypothesis import given, settings
from hypothesis import strategies as st

import sounds
from asr.bench import DEFAULT, NotLive, Stub
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.scheduler import QUICK_IN_A_ROW, QUICK_STEPS
from glagol.asr.inference.tasks import Job, Lane
from glagol.asr.inference.threads import divide, usable
from glagol.registry.registry import Registry
from glagol.runtime.batching import Tally
from glagol.runtime.options import Runtime
from glagol.speech.audio.source import AudioSource
from glagol.speech.output.formats import as_json
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options, Progress, Step, Transcript
from homes import MODEL


class Chunks(NotLive):
    """Stands for the recognizer: transcriptions of as many chunks as their file has bytes."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.tally = Tally()
        self.gate = Event()

    def steps(
        self,
        file: BinaryIO,
        *,
        options: Options = DEFAULT,
        audio_sha256: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        opened: AudioSource | None = None,
    ) -> Generator[Step, None, Transcript]:
        """One step for each byte, noted in `order` by the byte."""
        del options, audio_sha256, cancelled, opened
        for byte in file.read().decode():
            assert self.gate.wait(10)
            self.order.append(byte)
            yield Step((), Progress(len(self.order), None))
        return Stub()._transcript("")


@contextmanager
def chunked(workers: int = 1) -> Iterator[tuple[InferencePool, Chunks]]:
    """An engine on `Chunks`."""
    chunks = Chunks()
    engine = InferencePool(
        "tiny",
        lambda _: Opened(chunks, {}),
        queue_size=99,
        clock=time.perf_counter,
        workers=workers,
    )
    engine.start()
    yield engine, chunks
    engine.close(5)


def letters(text: str, lane: Lane = "quick") -> Job:
    """A job for `Chunks`."""
    return Job(
        file=io.BytesIO(text.encode()),
        model="tiny",
        options=Options(),
        render=lambda _: b"",
        lane=lane,
    )


def test_a_quick_job_waits_for_one_chunk_of_a_long_one() -> None:
    """Long jobs take turns chunk by chunk; what is quick goes before them."""
    with chunked() as (engine, chunks):
        long, other = letters("abcd", "long"), letters("xyz", "long")
        engine.put(long)
        while not engine.queue.taken:
            time.sleep(0.001)
        engine.put(other)
        engine.put(letters("1"))
        quick = letters("2")
        engine.put(quick)
        chunks.gate.set()
        quick.done.result(10)
        long.done.result(10)
        other.done.result(10)
    assert "".join(chunks.order) == "a12xbyczd"


def test_no_stream_of_quick_jobs_starves_a_long_one() -> None:
    """Every turn after QUICK_IN_A_ROW quick ones is a long job's."""
    with chunked() as (engine, chunks):
        engine.put(letters("abc", "long"))
        while not engine.queue.taken:
            time.sleep(0.001)
        jobs = [letters("1") for _ in range(3 * QUICK_IN_A_ROW)]
        for job in jobs:
            engine.put(job)
        assert (len(engine.queue), engine.queue.long) == (len(jobs), 0)
        chunks.gate.set()
        for job in jobs:
            job.done.result(10)
    row = "1" * QUICK_IN_A_ROW
    assert "".join(chunks.order) == f"a{row}b{row}c{row}"


def test_a_quick_job_that_is_long_continues_in_the_long_lane() -> None:
    """A long upload does not hold up the jobs after it."""
    with chunked() as (engine, chunks):
        long = letters("a" * (QUICK_STEPS + 2))
        engine.put(long)
        while not engine.queue.taken:
            time.sleep(0.001)
        short = letters("1")
        engine.put(short)
        chunks.gate.set()
        long.done.result(10)
        short.done.result(10)
    assert "".join(chunks.order) == "a" * QUICK_STEPS + "1aa"


def _note(seen: list[float], progress: Progress) -> None:
    seen.append(progress.done_s)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["quick", "long"]), st.integers(1, 9), st.booleans())),
)
def test_every_job_ends_and_none_works_twice(
    workers: int, wanted: list[tuple[Lane, int, bool]]
) -> None:
    """Any mix of jobs on any number of threads: all chunks done once, in order, or cancelled."""
    with chunked(workers) as (engine, chunks):
        chunks.gate.set()
        jobs = [letters(chr(at + 300) * size, lane) for at, (lane, size, _) in enumerate(wanted)]
        progress: list[list[float]] = [[] for _ in jobs]
        for job, seen in zip(jobs, progress, strict=True):
            job.on_progress = partial(_note, seen)
            engine.put(job)
        for job, (_, _, cancelled) in zip(jobs, wanted, strict=True):
            if cancelled:
                job.cancel()
        for at, (job, (_, size, cancelled)) in enumerate(zip(jobs, wanted, strict=True)):
            if cancelled:
                with suppress(CancelledError):
                    job.done.result(10)
            else:
                job.done.result(10)
                assert chunks.order.count(chr(at + 300)) == size == len(progress[at])
        assert len(engine.queue) == engine.queue.long == engine.queue.taken == 0


@given(st.integers(0, 256), st.integers(1, 256))
def test_every_core_has_a_thread_and_no_gap_is_idle(threads: int, cores: int) -> None:
    """Workers and the session's pool fill the processor; the operator's threads are kept."""
    chosen, workers = divide(threads, cores)
    assert chosen == threads or (threads == 0 and 1 <= chosen <= 4)
    assert workers + chosen - 1 >= cores
    assert workers >= min(cores, 2)
    assert workers <= cores
    assert divide(0, 2) == (2, 2)
    assert divide(threads, cores, "cuda") == (chosen, 16)


def test_a_container_has_the_cores_that_it_may_use(tmp_path: Path) -> None:
    """A control group's quota counts, rounded up; none, "max" or nonsense do not."""
    everything = usable(tmp_path / "none")
    assert everything == len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    for text, cores in (("50000 100000", 1), ("max 100000", everything), ("x", everything)):
        quota.write_text(f"{text}\n")
        assert usable(quota) == cores


def test_real_transcripts_are_those_of_solo_runs(home: Path) -> None:
    """Long jobs and quick ones on one model, each carried on by two threads: the bytes of alone."""
    recognizer = Recognizer.open(Registry.load(home), model=MODEL, runtime=Runtime(threads=1))
    clip, long = sounds.clip(), sounds.long_speech(90)
    alone = {audio: as_json(recognizer.transcribe(io.BytesIO(audio))) for audio in (clip, long)}
    begun = Event()
    done_s: list[float] = []

    def stop_at(progress: Progress) -> None:
        done_s.append(progress.done_s)
        begun.set()

    def real(audio: bytes, lane: Lane) -> Job:
        return Job(
            file=io.BytesIO(audio), model=MODEL, options=Options(), render=as_json, lane=lane
        )

    engine = InferencePool(
        MODEL, lambda _: Opened(recognizer, {}), queue_size=9, clock=time.perf_counter, workers=2
    )
    engine.start()
    jobs = [(audio, real(audio, "long")) for audio in (long, long, long)]
    jobs[0][1].on_progress = stop_at
    for _, job in jobs:
        engine.put(job)
    assert begun.wait(60)
    quick = [real(clip, "quick") for _ in range(4)]
    for job in quick:
        engine.put(job)
        job.done.result(60)
    assert not jobs[2][1].done.done()
    for audio, job in [*jobs, *((clip, job) for job in quick)]:
        assert _anonymous(job.done.result(60)[1]) == _anonymous(alone[audio])
    engine.close(5)
    assert done_s == sorted(done_s)
    assert len(done_s) > 4
    assert done_s[-1] == done_s[-2]


def _anonymous(answer: bytes) -> bytes:
    """Without the digest that only jobs have."""
    return answer.replace(b'"audio_sha256":""', b'"audio_sha256":null')
