"""kill -9 of workers in mid-job, and of Redis in mid-write, as often as asked for.

`build/proof-jobs` prints what 100 rounds of each measured; `test_queue_kill.py` runs a few.
Whatever is wrong is an AssertionError that names the job.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from glagol.core.errors import HostError
from glagol.jobs.queue import NewJob, Queue
from jobs.adapters import Way
from jobs.hands import KIND, notes, work
from jobs.redis_server import RedisServer

LEASE_S, WORK_S, WORKERS = 0.5, 0.3, 2
BALLAST = "ballast"
PATIENCE_S = 90.0
# neither threads nor open queues of the parent get into a worker
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["jobs.hands"])


@dataclass
class Figures:
    """What the rounds came to."""

    rounds: int
    jobs: int = 0
    interrupted: int = 0
    redelivered_s: list[float] = field(default_factory=list)
    down_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        text = f"{self.rounds} kills, {self.jobs} jobs acknowledged, 0 lost, 0 delivered twice"
        if self.redelivered_s:
            text += (
                f"; {self.interrupted} jobs interrupted, given away after a kill within "
                f"{statistics.median(self.redelivered_s):.2f} s (median), "
                f"{max(self.redelivered_s):.2f} s (longest) at a lease of {LEASE_S} s"
            )
        if self.down_s:
            text += f"; Redis back after {statistics.median(self.down_s):.2f} s (median)"
        return text


def _preload() -> None:
    """Start the server that forks the workers, and let it find the tests."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    forkserver.ensure_running()
    del os.environ["PYTHONPATH"]
    if before is not None:
        os.environ["PYTHONPATH"] = before


class Crew:
    """Workers on one queue; a killed one is replaced."""

    def __init__(self, way: Way, directory: Path, seed: int) -> None:
        self._way, self._seed = way, seed
        _preload()
        self.notes = directory / "notes"
        self.workers = [self._hire() for _ in range(WORKERS)]

    def _hire(self) -> ForkServerProcess:
        self._seed += 1
        worker = CONTEXT.Process(
            target=work,
            args=(self._way, self.notes),
            kwargs={"lease_s": LEASE_S, "work_s": WORK_S, "seed": self._seed},
        )
        worker.start()
        return worker

    def kill(self, which: int, after_s: float) -> tuple[int, float]:
        """SIGKILL one some time after its first claim, hire another; its pid and the moment."""
        worker = self.workers[which]
        end = time.monotonic() + PATIENCE_S
        while worker.pid not in {n.pid for n in notes(self.notes)}:
            assert time.monotonic() < end, "the worker does not begin"
            time.sleep(0.01)
        time.sleep(after_s)
        worker.kill()
        at_s = time.time()
        worker.join()
        self.workers[which] = self._hire()
        return worker.pid or 0, at_s

    def dismiss(self) -> None:
        """End them all, however far they are."""
        for worker in self.workers:
            worker.kill()
            worker.join()


def again(call: Callable[[], object]) -> None:
    """Repeat until it is acknowledged."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            call()
        except HostError:
            assert time.monotonic() < end, "the queue did not come back"
            time.sleep(0.01)
        else:
            return


def put(queue: Queue, job_id: str, kind: str = KIND) -> None:
    """Until acknowledged; the same id each time."""
    again(lambda: queue.put(NewJob(id=job_id, kind=kind, payload=b"x" * 100, attempts_max=10_000)))


def settled(queue: Queue, acknowledged: list[str], path: Path) -> None:
    """Wait for the last job, then hold all that was acknowledged against what is there."""
    end = time.monotonic() + PATIENCE_S
    while (depth := queue.depth(KIND))["queued"] or depth["running"]:
        assert time.monotonic() < end, f"{depth} never ends"
        time.sleep(0.02)
    time.sleep(LEASE_S)  # the last notes
    for job_id in acknowledged:
        job = queue.get(job_id)  # not lost
        if job.kind == BALLAST:
            assert (job.state, job.version) == ("queued", 1)
            continue
        assert job.state == "done", f"{job_id} is {job.state}"
        assert queue.result(job_id) == f"{job_id} {job.attempt}".encode(), job_id
    written = notes(path)
    claims = Counter((n.job, n.attempt) for n in written if n.word == "claim")
    assert not [claim for claim, times in claims.items() if times > 1], "delivered twice"
    for done in (n for n in written if n.word == "done"):
        assert queue.get(done.job).attempt == done.attempt, f"{done} was undone"


def kill_workers(way: Way, directory: Path, rounds: int, seed: int) -> Figures:
    """Kill a worker at a random moment, `rounds` times."""
    dice, figures = random.Random(seed), Figures(rounds)  # noqa: S311
    queue, crew = way.open(), Crew(way, directory, seed)
    acknowledged: list[str] = []
    kills = []
    try:
        for _ in range(rounds):
            while queue.depth(KIND)["queued"] < 2 * WORKERS:
                put(queue, f"job{len(acknowledged)}")
                acknowledged.append(f"job{len(acknowledged)}")
            kills.append(crew.kill(dice.randrange(WORKERS), dice.uniform(0, WORK_S)))
        settled(queue, acknowledged, crew.notes)
    finally:
        crew.dismiss()
        queue.close()
    figures.jobs = len(acknowledged)
    written = notes(crew.notes)
    for pid, at_s in kills:
        last = [n for n in written if n.pid == pid][-1:]
        for begun in (n for n in last if n.word == "claim"):
            figures.interrupted += 1
            figures.redelivered_s += [
                n.at_s - at_s
                for n in written
                if (n.word, n.job, n.attempt) == ("claim", begun.job, begun.attempt + 1)
            ]
    return figures


def kill_redis(server: RedisServer, way: Way, directory: Path, rounds: int, seed: int) -> Figures:
    """Kill Redis while two write and two work, `rounds` times; it comes back from its log."""
    dice, figures = random.Random(seed), Figures(rounds)  # noqa: S311
    crew, over = Crew(way, directory, seed), threading.Event()
    acknowledged: list[list[str]] = [[], []]

    def write(number: int) -> None:
        mine = way.open()
        while not over.is_set():
            job_id = f"job{number}-{len(acknowledged[number])}"
            # a few to be worked on, and many that no worker takes, to be in mid-write at any time
            put(mine, job_id, BALLAST if len(acknowledged[number]) % 20 else KIND)
            acknowledged[number].append(job_id)
            over.wait(0.005)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    queue = way.open()
    try:
        for writer in writers:
            writer.start()
        for _ in range(rounds):
            time.sleep(dice.uniform(0.02, 0.25))
            server.kill()
            began = time.monotonic()
            server.start()
            figures.down_s.append(time.monotonic() - began)
        over.set()
        for writer in writers:
            writer.join()
        settled(queue, [*acknowledged[0], *acknowledged[1]], crew.notes)
    finally:
        over.set()
        crew.dismiss()
        queue.close()
    figures.jobs = len(acknowledged[0]) + len(acknowledged[1])
    return figures


def prove(rounds: int, seed: int) -> None:
    """Everything, with figures; a worker's redelivery is held to its lease and 2 s."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glagol-")))
        server = RedisServer(root)
        server.start()
        stack.callback(server.kill)
        ways = {"sqlite": Way(str(root / "jobs.sqlite"), ""), "redis": Way(server.url, "{workers}")}
        for name, way in ways.items():
            (root / name).mkdir()
            figures = kill_workers(way, root / name, rounds, seed)
            sys.stdout.write(f"workers, {name}: {figures}\n")
            sys.stdout.flush()
            assert max(figures.redelivered_s) <= LEASE_S + 2.0
        figures = kill_redis(server, Way(server.url, "{server}"), root, rounds, seed)
        sys.stdout.write(f"redis itself: {figures}\n")
