"""kill -9 of the driver, of an actor and of a node of a cluster at random moments.

Each round begins the command, or takes up what the round before left, and kills one of the three
while it works. What survives its kill continues to its end. Whenever a target is complete it must
be as that of the undisturbed run, and the next round has a new one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runs import ROOT, Promise, command, digests, once, say, tree

from glagol.archive.actors.environment import STARTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["prove"]

VICTIMS = ("driver", "actor", "node")
START_S = "60"
"""How long a replaced actor may take to start before the crew is smaller, seconds."""

NODE_CPUS = "2"
PATIENCE_S = 900.0


class Cluster:
    """A head and a node: the program tests/archive/head.py.

    Attributes:
        address: of the head.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._said("address")[1]
        self.order("join")

    def order(self, word: str) -> None:
        """`lose`: kill every process of the node; `join`: begin another."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._said(word)

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return tree(self._process.pid)

    def _said(self, word: str) -> list[str]:
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            words = line.split()
            if words[:1] == [word]:
                return words
        sys.exit(f"the cluster ended instead of saying {word}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster of two nodes on this machine."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as at:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/archive/head.py"), at, NODE_CPUS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"} | STARTING,
        )
        try:
            yield Cluster(process)
        finally:
            process.communicate()


def actors(nodes: Cluster) -> list[int]:
    """Processes of readers and recognisers."""
    found = []
    for pid in nodes.pids:
        with suppress(OSError):
            name = Path(f"/proc/{pid}/cmdline").read_text()
            if "_RecogniserActor" in name or "_ReaderActor" in name:
                found.append(pid)
    return found


def waited(process: subprocess.Popen[bytes], held: Callable[[], bool]) -> bool:
    """Until something holds or the run is over; whether it runs."""
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and not held():
        if time.monotonic() > end:
            sys.exit("BROKEN the command neither works nor ends")
        time.sleep(0.02)
    return process.poll() is None


def prove(promise: Promise, source: Path, expected: Path, folder: Path, rounds: int) -> None:
    """Run the rounds.

    Args:
        promise: gets what held.
        source: recordings.
        expected: what the undisturbed run wrote for each of them.
        folder: where targets go.
        rounds: how often something is killed.
    """
    wanted, dice = digests(expected), random.Random(21)  # noqa: S311 - moments, no secret
    met: Counter[str] = Counter()
    targets = [folder / "killed-0"]
    with cluster() as nodes:
        order = [VICTIMS[number % len(VICTIMS)] for number in range(rounds)]
        dice.shuffle(order)
        for victim in order:
            status = _round(nodes, victim, source, targets[-1], dice, len(wanted), met)
            if status == 0:
                targets.append(folder / f"killed-{len(targets)}")
        last = command(source, targets[-1], 2, address=nodes.address)
        subprocess.run(last, check=True)
    say(f"killed while it worked: {dict(sorted(met.items()))} of {rounds} rounds")
    promise.hold("something was killed", sum(met.values()) > 0)
    promise.hold(
        f"{len(targets)} targets: every file has one row", all(once(source, t) for t in targets)
    )
    promise.hold("and the bytes of the undisturbed run", all(digests(t) == wanted for t in targets))


def _round(
    nodes: Cluster,
    victim: str,
    source: Path,
    target: Path,
    dice: random.Random,
    files: int,
    met: Counter[str],
) -> int:
    """Begin or take up a run, kill the victim, and let the run end; its status."""
    given = command(source, target, 2, address=nodes.address, start_s=START_S)
    before = len(digests(target))
    process = subprocess.Popen(given, start_new_session=True)
    more = dice.randrange(max(1, (files - before) // 2))
    if not waited(process, lambda: len(digests(target)) > before + more):
        return process.wait()
    time.sleep(dice.random() * 0.2)
    if victim == "actor":
        pids = actors(nodes)
        with suppress(ProcessLookupError):
            if pids:
                os.kill(dice.choice(pids), signal.SIGKILL)
    elif victim == "node":
        nodes.order("lose")
    met[victim] += process.poll() is None
    if victim == "driver":
        process.kill()
    status = process.wait(PATIENCE_S)
    if victim == "node":
        nodes.order("join")
    return status
