"""Actors on Ray: a cluster of our own on this machine, or one that is there.

Importing this imports Ray, which reads its environment then (`glagol.archive.actors.environment`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from glagol.archive.actors.crew import LostError
from glagol.archive.actors.reader import Reader
from glagol.archive.actors.recogniser import Recogniser
from glagol.archive.actors.wire import Cut, Identity, Job, Written, answer, answered, decode, encode
from glagol.archive.sources import Source
from glagol.core.errors import HostError
from glagol.core.version import VERSION
from glagol.speech.engines.base import Hypothesis, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Needs", "RayActor", "cluster", "reader", "recogniser"]

LOCAL_TRIES: Final = 6
"""How often ours is started: Ray gives its parts 15 s, which a busy machine exceeds."""

OBJECTS_BYTES, OBJECTS_BYTES_EACH = 160 << 20, 24 << 20
"""Of Ray's object store, and for each recogniser: sound that waits is at most 8 windows."""

READER_CPUS: Final = 1
CONNECT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of a cluster.

    Attributes:
        recognisers: how many.
        readers: how many.
        threads: CPUs of one recogniser.
        device: "cuda": each recogniser has a card.
        start_s: seconds that actors may take to start.
    """

    recognisers: int
    readers: int
    threads: int
    device: str
    start_s: float

    @property
    def cpus(self) -> int:
        """CPUs of all actors."""
        return self.recognisers * self.threads + self.readers * READER_CPUS


@contextmanager
def cluster(address: str, needs: Needs, *, dashboard: bool = False) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine for as long as the block runs.

    Args:
        address: of Ray's head; empty for one of our own, that only this user can use.
        needs: what the run asks of it.
        dashboard: whether ours has Ray's dashboard.

    Raises:
        HostError: `cluster_unreachable`; `cluster_release`, it runs another Ray or Python;
            `cluster_small`, it has no room for the actors.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    folder = "" if address else tempfile.mkdtemp(prefix="glagol-", dir="/tmp")
    try:
        if address:
            _connect(address)
        else:
            _start(folder, needs, dashboard=dashboard)
        _require_room(needs)
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: str, needs: Needs, *, dashboard: bool) -> None:
    for left in reversed(range(LOCAL_TRIES)):
        try:
            ray.init(
                num_cpus=needs.cpus,
                include_dashboard=dashboard,
                configure_logging=False,
                log_to_driver=False,
                object_store_memory=OBJECTS_BYTES + needs.recognisers * OBJECTS_BYTES_EACH,
                _temp_dir=folder,
            )
            return
        except Exception as error:
            with suppress(Exception):
                ray.shutdown()
            if not left:
                raise HostError(
                    "cluster_unreachable",
                    f"Ray did not start on this machine: {_line(error)}",
                    "try again when the machine is less busy",
                ) from error


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, configure_logging=False, log_to_driver=False)
    except RuntimeError as error:
        versions = re.findall(r"(Ray|Python): (\S+)", str(error))
        if "Version mismatch" not in str(error) or len(versions) < 4:
            raise _unreachable(address, error) from error
        theirs, ours = versions[:2], versions[2:4]
        raise HostError(
            "cluster_release",
            f"the cluster runs {_said(theirs)}, this command {_said(ours)}",
            "use the same release of Glagol, its lock and Python on both",
        ) from error
    except (RayError, ConnectionError, ValueError, OSError, TimeoutError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> HostError:
    return HostError(
        "cluster_unreachable",
        f"no cluster answers at {address}: {_line(error)}",
        "start it with `ray start --head`, and check the address and its token",
    )


def _require_room(needs: Needs) -> None:
    """Refuse a cluster in which actors would wait for ever.

    Raises:
        HostError: `cluster_small`.
    """
    there = ray.cluster_resources()
    cards = needs.recognisers if needs.device == "cuda" else 0
    if there.get("CPU", 0) < needs.cpus or there.get("GPU", 0) < cards:
        asked = f"{needs.recognisers} recognisers of {needs.threads} CPUs"
        asked += f" and {needs.readers} readers of {READER_CPUS}"
        asked += f", and {cards} cards" if cards else ""
        raise HostError(
            "cluster_small",
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} cards;"
            f" {asked} are asked for",
            "ask for fewer with --actors, --threads and --readers, or add nodes",
        )


class _ReaderActor:
    """`Reader` behind Ray: its answers are bytes."""

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def start(self, job: bytes, identity: bytes, number: int) -> bytes:
        @answered
        def begun() -> Written:
            self._reader = Reader(decode(job, Job), decode(identity, Identity), number)
            return Written()

        return begun()

    def open(self, source: bytes) -> bytes:
        return answered(self._ready.open)(decode(source, Source))

    def windows(self, name: str, most: int) -> tuple[bytes, Any]:
        sound: list[Any] = []

        @answered
        def cut() -> Cut:
            found, arrays = self._ready.windows(name, most)
            sound.extend(arrays)
            return found

        return cut(), sound

    def join(self, name: str, hypotheses: bytes) -> bytes:
        return answered(self._ready.join)(name, decode(hypotheses, list[Hypothesis]))

    def reuse(self, name: str, part: str, path: str) -> bytes:
        return answered(self._ready.reuse)(name, part, path)

    def close(self, name: str) -> bytes:
        return answered(self._ready.close)(name)

    def flush(self) -> bytes:
        return answered(self._ready.flush)()

    @property
    def _ready(self) -> Reader:
        if self._reader is None:
            raise AssertionError("the reader was not started")
        return self._reader


class _RecogniserActor:
    """`Recogniser` behind Ray: its answers are bytes."""

    def __init__(self) -> None:
        self._recogniser: Recogniser | None = None

    def start(self, job: bytes) -> bytes:
        @answered
        def begun() -> Identity:
            self._recogniser = Recogniser(decode(job, Job))
            return self._recogniser.identity()

        return begun()

    def recognise(self, sound: Any, request: bytes, session: str) -> bytes:
        if self._recogniser is None:
            raise AssertionError("the recogniser was not started")
        wanted = decode(request, Request | None)  # type: ignore[arg-type]
        return answered(self._recogniser.recognise)(sound, wanted, session)

    def forget(self, session: str) -> bytes:
        if self._recogniser is not None:
            self._recogniser.forget(session)
        return encode(Written())


@dataclass(frozen=True, slots=True)
class RayActor:
    """As `glagol.archive.actors.crew.Actor`."""

    handle: Any

    async def ask(self, method: str, *args: Any) -> bytes:
        """As `Actor.ask`."""
        try:
            found: bytes = await getattr(self.handle, method).remote(*args)
        except RayError as error:
            raise _lost(error) from error
        return found

    async def cut(self, name: str, most: int) -> tuple[bytes, Any]:
        """As `Actor.cut`; the sound stays in Ray's object store."""
        try:
            said, sound = self.handle.windows.options(num_returns=2).remote(name, most)
            return await said, sound
        except RayError as error:
            raise _lost(error) from error

    def kill(self) -> None:
        """As `Actor.kill`."""
        with suppress(RayError, ValueError):
            ray.kill(self.handle)


def _lost(error: RayError) -> Exception:
    """A death, or a mistake of ours inside an actor, which is raised as it is."""
    if isinstance(error, RayTaskError):
        return RuntimeError(str(error))
    return LostError(_line(error))


async def recogniser(job: Job, needs: Needs, known: list[Identity]) -> RayActor:
    """Start a recogniser.

    Args:
        job: what it opens.
        needs: its CPUs or card, and how long it may take.
        known: what the first one of the run is; that one is added.

    Raises:
        GlagolError: it cannot open the model.
        HostError: `cluster_small`, it found no room in time; `cluster_release`, its node has
            another release of this program, or computes with other builds.
    """
    cards = 1 if needs.device == "cuda" else 0
    kind = ray.remote(_RecogniserActor)
    handle = kind.options(num_cpus=needs.threads, num_gpus=cards, max_restarts=0).remote()
    found = answer(await _begun(handle, needs, "recogniser", encode(job)), Identity)
    if found.release != VERSION:
        raise HostError(
            "cluster_release",
            f"a node has Glagol {found.release}, this command is {VERSION}",
            "install the same release on every node",
        )
    expected = known[0] if known else found
    if _texts(found) != _texts(expected):
        raise HostError(
            "cluster_release",
            "the nodes would not write the same texts: they have other models or chose other"
            f" builds ({found.provenance['variant']}, {expected.provenance['variant']})",
            "name the build with --variant, and give every node the same manifest and store",
        )
    known.append(found)
    return RayActor(handle)


async def reader(job: Job, needs: Needs, identity: Identity, number: int) -> RayActor:
    """Start a reader.

    Raises:
        GlagolError: it cannot open what it needs.
        HostError: `cluster_small`, it found no room in time.
    """
    kind = ray.remote(_ReaderActor)
    handle = kind.options(
        num_cpus=READER_CPUS, max_restarts=0, max_concurrency=job.slots + 2
    ).remote()
    data = await _begun(handle, needs, "reader", encode(job), encode(identity), number)
    answer(data, Written)
    return RayActor(handle)


async def _begun(handle: Any, needs: Needs, what: str, *args: Any) -> bytes:
    try:
        async with asyncio.timeout(needs.start_s):
            data: bytes = await handle.start.remote(*args)
    except TimeoutError as error:
        with suppress(RayError, ValueError):
            ray.kill(handle)
        raise HostError(
            "cluster_small",
            f"a {what} found no room in {needs.start_s:g} s",
            "ask for fewer actors, or add nodes; another program may hold the CPUs",
        ) from error
    except RayError as error:
        raise HostError(
            "cluster_unreachable",
            f"a {what} did not start: {_line(error)}",
            "install this release of Glagol with its archive extra on every node",
        ) from error
    return data


def _texts(identity: Identity) -> list[Any]:
    """What must be equal for equal texts."""
    known = identity.provenance
    return [known[name] for name in ("model", "variant", "artifacts", "vad", "manifest_sha256")]


def _said(versions: list[tuple[str, str]]) -> str:
    return " and ".join(f"{name} {number}" for name, number in versions)


def _line(error: Exception) -> str:
    """The line of an error that says most: the last one of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
