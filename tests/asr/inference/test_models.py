"""Open models: how many exist at a time, which jobs wait for one, and how that is booked."""

from __future__ import annotations

import io
import threading
import time
import weakref
from collections.abc import Generator
from itertools import pairwise
from typing import IO, Any, cast

import pytest

from asr.bench import Stub
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.tasks import Job, Lane
from glagol.core.errors import HostError
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options, Progress, Step, Transcript

PATIENCE_S = 30.0
OPEN_AT_A_TIME = 2
DEFAULT = "m0"


class Fake:
    """Stands for a recognizer: one step for each byte of a file, and a gate before each."""

    def __init__(self, name: str, house: House) -> None:
        self.name = name
        self.tally = Stub().tally
        self._house = house

    def steps(self, file: IO[bytes], **_: Any) -> Generator[Step, None, Transcript]:
        """Transcribe one byte in each step; the generator keeps this recognizer alive."""
        for _byte in file.read():
            assert self._house.gate.wait(PATIENCE_S)
            if self._house.fault is not None:
                raise self._house.fault
            self._house.worked.append(self.name)
            yield Step((), Progress(1.0, None))
        return Stub()._transcript("")


class House:
    """Opens fakes and counts those that are alive, by what the garbage collector does."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.alive: set[str] = set()
        self.most = 0
        self.opened: list[str] = []
        self.worked: list[str] = []
        self.fault: Exception | None = None
        self.doors: dict[str, threading.Event] = {}
        self.at_the_door = threading.Event()
        self._lock = threading.Lock()

    def open_model(self, name: str) -> Opened:
        """Open a fake, once its door is open if it has one."""
        fake = Fake(name, self)
        with self._lock:
            self.opened.append(name)
            self.alive.add(name)
            self.most = max(self.most, len(self.alive))
        weakref.finalize(fake, self.alive.discard, name)
        if name in self.doors:
            self.at_the_door.set()
            assert self.doors[name].wait(PATIENCE_S)
            if self.fault is not None:
                raise self.fault
        return Opened(cast("Recognizer", fake), {})


def made(house: House, workers: int = 2, clock: Any = time.perf_counter) -> InferencePool:
    """A pool over `house` whose default model is open."""
    pool = InferencePool(DEFAULT, house.open_model, queue_size=99, clock=clock, workers=workers)
    pool.start()
    until(lambda: pool.trouble is None)
    return pool


def until(what: Any) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.002)


def job(model: str, lane: Lane = "quick", size: int = 1) -> Job:
    """A transcription of `size` steps."""
    return Job(
        file=io.BytesIO(b"x" * size),
        audio_sha256="",
        model=model,
        options=Options(),
        render=lambda _: b"",
        lane=lane,
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_six_long_jobs_on_six_models_never_have_more_than_two_open(workers: int) -> None:
    """Those that find no room wait, all of them end, and quick jobs of open models go before."""
    house = House()
    pool = made(house, workers)
    jobs = [job(f"m{at}", "long", 5) for at in range(6)]
    for each in jobs:
        pool.put(each)
    until(lambda: len(house.opened) == OPEN_AT_A_TIME)
    quick = job(DEFAULT)
    pool.put(quick)
    house.gate.set()
    quick.done.result(PATIENCE_S)
    for each in jobs:
        each.done.result(PATIENCE_S)
    assert house.most == OPEN_AT_A_TIME
    assert sorted(house.opened) == [f"m{at}" for at in range(6)]
    assert sorted(house.worked) == sorted([f"m{at}" for at in range(6)] * 5 + [DEFAULT])
    pool.close(PATIENCE_S)


@pytest.mark.parametrize("begun", [True, False])
def test_failed_jobs_do_not_keep_their_model(begun: bool) -> None:
    """Neither a job's own error nor that of a load holds a model, though both are kept."""
    house = House()
    pool = made(house)
    house.gate.set()
    house.fault = ValueError("broken")
    if not begun:
        house.doors["m1"] = threading.Event()
        house.doors["m1"].set()
    broken = job("m1")
    pool.put(broken)
    error = broken.done.exception(PATIENCE_S)
    assert isinstance(error, ValueError)
    house.fault = None
    for name in ("m2", "m3"):
        other = job(name)
        pool.put(other)
        other.done.result(PATIENCE_S)
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


def test_a_job_that_waits_for_room_is_skipped_but_not_for_ever() -> None:
    """Jobs of the open models go before it; a stream of them is interrupted in its favour."""
    house = House()
    pool = made(house, 1)
    first = job("m1", "long", 1)
    pool.put(first)
    until(lambda: "m1" in house.opened and pool.queue.taken)
    waits = job("m2")
    pool.put(waits)
    stream = [job("m1") for _ in range(30)]
    default = [job(DEFAULT) for _ in range(3)]
    for each in (*stream, *default):
        pool.put(each)
    house.gate.set()
    for each in (waits, *stream, *default):
        each.done.result(PATIENCE_S)
    turn = house.worked.index("m2")
    assert 1 < turn < 1 + len(stream)
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_delays_only_the_jobs_of_its_model(workers: int) -> None:
    """A job of the open model is done meanwhile; the load counts as waiting and not as work."""
    house, now = House(), [0.0]
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house, workers, lambda: now[0])
    slow = job("m1")
    pool.put(slow)
    assert house.at_the_door.wait(PATIENCE_S)
    quick = job(DEFAULT)
    pool.put(quick)
    quick.done.result(PATIENCE_S)
    assert (quick.wait_s, quick.work_s) == (0.0, 0.0)
    now[0] = 100.0
    house.doors["m1"].set()
    slow.done.result(PATIENCE_S)
    assert (slow.wait_s, slow.work_s) == (100.0, 0.0)
    assert pool.retry_after_s() == 1
    pool.close(PATIENCE_S)


def test_a_load_that_fails_is_told_to_its_jobs_and_tried_again() -> None:
    """All that wait for it get the error; the next job opens the model."""
    house = House()
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house)
    waiting = [job("m1"), job("m1", "long")]
    for each in waiting:
        pool.put(each)
    assert house.at_the_door.wait(PATIENCE_S)
    house.fault = HostError("host_io", "no disk", "find it")
    house.doors["m1"].set()
    for each in waiting:
        with pytest.raises(HostError, match="no disk"):
            each.done.result(PATIENCE_S)
        assert each.file.closed
    house.fault = None
    again = job("m1")
    pool.put(again)
    again.done.result(PATIENCE_S)
    assert house.opened == [DEFAULT, "m1", "m1"]
    pool.close(PATIENCE_S)


def test_a_cancelled_job_gives_its_room_back() -> None:
    """A job that is cancelled while it waits for its model lets another one load."""
    house = House()
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house)
    given_up, other = job("m1"), job("m2")
    pool.put(given_up)
    assert house.at_the_door.wait(PATIENCE_S)
    pool.put(other)
    given_up.cancel()
    house.doors["m1"].set()
    other.done.result(PATIENCE_S)
    assert house.worked == ["m2"]
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


def test_phases_are_when_things_happened() -> None:
    """Two long jobs on one thread take turns: so do their spans, and no two overlap."""
    house = House()
    pool = made(house, 1)
    pair = [job(DEFAULT, "long", 3) for _ in range(2)]
    before_ns = time.time_ns()
    for each in pair:
        pool.put(each)
    house.gate.set()
    for each in pair:
        each.done.result(PATIENCE_S)
    after_ns = time.time_ns()
    first, second = ([*each.timeline.phases()] for each in pair)
    for queue, *work in (first, second):
        assert queue.name == "queue"
        assert {phase.name for phase in work} == {"work"}
        assert before_ns <= queue.start_ns <= queue.end_ns == work[0].start_ns
    turns = sorted((*first[1:], *second[1:]), key=lambda phase: phase.start_ns)
    assert len(first) > 2
    alone = job(DEFAULT, "long", 20)
    pool.put(alone)
    alone.done.result(PATIENCE_S)
    assert [phase.name for phase in alone.timeline.phases()] == ["queue", "work"]
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(turns))
    assert turns[-1].end_ns <= after_ns
    pool.close(PATIENCE_S)


def test_a_load_is_a_phase_of_the_wait() -> None:
    """A job that waits for its model has a `load` inside its `queue`; the next one has none."""
    house = House()
    house.gate.set()
    pool = made(house)
    waits = job("m1")
    pool.put(waits)
    waits.done.result(PATIENCE_S)
    queue, load, work = waits.timeline.phases()
    assert [queue.name, load.name, work.name] == ["queue", "load", "work"]
    assert queue.start_ns <= load.start_ns <= load.end_ns <= queue.end_ns == work.start_ns
    later = job("m1")
    pool.put(later)
    later.done.result(PATIENCE_S)
    assert [phase.name for phase in later.timeline.phases()] == ["queue", "work"]
    pool.close(PATIENCE_S)
