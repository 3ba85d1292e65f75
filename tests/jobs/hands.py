"""A worker to be run and to be killed: it claims, renews, finishes, and notes it down.

The notes are lines `word id attempt unix-seconds pid`, each one write to a file opened for
appending, so that they outlive the worker and those of several do not mix.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from glagol.core.errors import HostError
from glagol.jobs.queue import Claim, Job, LeaseLostError, Queue
from jobs.adapters import Way

KIND = "read"


@dataclass(frozen=True)
class Note:
    """Something that a worker saw."""

    word: str
    job: str
    attempt: int
    at_s: float
    pid: int


def notes(path: Path) -> list[Note]:
    """All that workers wrote so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        Note(word, job, int(attempt), float(at_s), int(pid))
        for word, job, attempt, at_s, pid in map(str.split, lines)
    ]


def note(path: Path, word: str, job: Job) -> None:
    """Append a line."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{word} {job.id} {job.attempt} {time.time()!r} {os.getpid()}\n".encode())
    finally:
        os.close(file)


def work(way: Way, path: Path, *, lease_s: float, work_s: float, seed: int) -> None:
    """Work until there is a job named `stop`; jobs take up to `work_s`, and renew meanwhile."""
    dice = random.Random(seed)  # noqa: S311
    queue = way.open()
    while True:
        try:
            claim = queue.claim(f"worker-{os.getpid()}-{seed}", [KIND, "stop"], lease_s)
            if claim is None:
                queue.wait([KIND, "stop"], 1.0)
                continue
        except HostError:
            time.sleep(0.02)
            continue
        if claim.job.kind == "stop":
            queue.release(claim)
            return
        note(path, "claim", claim.job)
        try:
            toil(queue, claim, dice.uniform(0, work_s))
            settle(queue, claim, path)
        except LeaseLostError:
            note(path, "lost", claim.job)


def toil(queue: Queue, claim: Claim, seconds: float) -> None:
    """Be busy, and renew three times per lease."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, claim.lease_s / 3))
        try:
            queue.renew(claim)
        except HostError:
            continue


def settle(queue: Queue, claim: Claim, path: Path) -> None:
    """Finish, however often it takes: the answer may get lost on its way."""
    while True:
        try:
            queue.finish(claim, f"{claim.job.id} {claim.job.attempt}".encode())
        except HostError:
            time.sleep(0.02)
        else:
            note(path, "done", claim.job)
            return
