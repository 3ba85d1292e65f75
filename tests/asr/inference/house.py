"""Stands for models in tests: opens fakes, and counts those that exist."""

from __future__ import annotations

import io
import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import IO, Any, cast

from asr.bench import Stub
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.tasks import Job, Lane
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


def until(what: Callable[[], object]) -> None:
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
