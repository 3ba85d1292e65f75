"""The proof of build/proof-jail: what the jail promises, measured; a broken promise is an error.

For every hostile recording the server grows by at most 64 MiB and a child has at most 256 MiB, the
median wait of other requests is within 20 % of that beside as many bytes that are no recording, and
a client that leaves frees its child within 0.5 s. A bar of time is broken when each of three tries
breaks it: the machine has other work. Damaged recordings neither crash nor hang nor stay; kills
lose and double nothing. With GLAGOL_JAIL=quick, for CI, all is fewer, and the bars of time are
1.5 s and twice the median: machines of CI stand still at times.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import sounds
from asr.process import Server, start
from fault import mutated
from fault.jail import hostile, kill
from glagol.core.errors import InputError, LimitError
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from homes import make_home
from speech import jails

MIB = 1 << 20
QUICK = os.environ.get("GLAGOL_JAIL") == "quick"
GROWTH_BYTES_MAX, CHILD_BYTES_MAX = 64 * MIB, 256 * MIB
FREED_S_MAX, SLOWER_MAX = (1.5, 2.0) if QUICK else (0.5, 1.2)
HANG_S = 30.0
TRIES = 3
DISCONNECTS = 3
HONEST, PAUSE_S, LOOK_S = 7 if QUICK else 15, 0.5, 0.05
FILES, ROUNDS = ("300", "5") if QUICK else ("10000", "100")
URL = "/v1/transcribe"
TIMES = {"wait_under_ms", "freed_s"}
"""Bars of time; the others are bars of memory."""


def damaged(count: int, seed: int) -> dict[str, Any]:
    """Files of nine formats, broken at random, through the jail: as files and as streams."""
    files, chance = mutated.originals(), random.Random(seed)  # noqa: S311
    jail = Jail(Limits(idle_s=HANG_S), slots=2, tell=jails.silent)
    jail.start()
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    for number in range(count):
        data = mutated.broken(
            files[chance.choice(list(files))], chance.choice(list(files.values())), chance
        )
        way, began = chance.choice(("mix", "split", "stream")), time.monotonic()
        try:
            if way == "stream":
                list(jail.stream(io.BytesIO(data).read))
            else:
                with jail.open(io.BytesIO(data), max_seconds=600.0, split=way == "split") as found:
                    list(found)
            outcomes["samples"] += 1
        except (InputError, LimitError) as error:
            outcomes[error.code] += 1
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert slowest_s < HANG_S, number
    assert jail.children == 0
    assert jail.restarts == 0
    zygote = jail.zygote or 0
    jails.until(lambda: len(hostile.children_of(zygote)) <= 2)
    jail.close()
    assert not jails.exists(zygote)
    return {"files": count, "seed": seed, "slowest_s": round(slowest_s, 3), "outcomes": outcomes}


class Watch(threading.Thread):
    """Remembers the most memory that a server and its jail's children have had."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server_bytes = self.child_bytes = 0
        self._pid = server.process.pid
        self._over = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self._over.wait(LOOK_S):
            self.server_bytes = max(self.server_bytes, hostile.memory_bytes(self._pid, "Rss"))
            for zygote in hostile.children_of(self._pid):
                for child in hostile.children_of(zygote):
                    self.child_bytes = max(self.child_bytes, hostile.memory_bytes(child))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def waits(server: Server, clip: bytes) -> list[float]:
    """Seconds of honest requests, one after the other."""
    found = []
    with server.client() as client:
        for _ in range(HONEST):
            began = time.perf_counter()
            answer = client.put(URL, content=clip)
            assert answer.status_code == 200, answer.text
            found.append(time.perf_counter() - began)
    return found


@contextlib.contextmanager
def attacked(server: Server, data: bytes, codes: Counter[str]) -> Iterator[None]:
    """A client that sends a recording again and again while the block runs."""
    over = threading.Event()

    def send() -> None:
        with server.client() as client:
            while not over.is_set():
                answer = client.put(URL, content=data)
                error = answer.json().get("error") or {}
                codes[error.get("code", str(answer.status_code))] += 1
                over.wait(PAUSE_S)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def freed_s(server: Server, data: bytes) -> float | None:
    """How long the child that has a recording lives after the client that sent it has left.

    The median of a few clients; None when each recording was refused before its client left.
    """
    found = [lived for _ in range(DISCONNECTS) if (lived := _lived_s(server, data)) is not None]
    return round(statistics.median(found), 3) if found else None


def _lived_s(server: Server, data: bytes) -> float | None:
    zygote, place = hostile.children_of(server.process.pid)[0], urlsplit(server.url)
    head = f"PUT {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port or 0)) as raw:
        raw.sendall(head.encode() + data)
        end = time.monotonic() + 1.0
        while not (busy := _busy(zygote)) and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(0.02)
        busy = _busy(zygote)
    began = time.monotonic()
    if not busy:
        return None
    jails.until(lambda: not any(map(jails.alive, busy)))
    return time.monotonic() - began


def _busy(zygote: int) -> list[int]:
    """Children that have a recording; one that gets ready has silence of ours."""
    found = []
    for pid in hostile.children_of(zygote):
        try:
            link = str(Path(f"/proc/{pid}/fd/4").readlink())
        except OSError:
            continue
        if link.endswith(" (deleted)") and "silence" not in link:
            found.append(pid)
    return found


def attack(server: Server, name: str, data: bytes, clip: bytes) -> dict[str, Any]:
    """All bars for one recording."""
    calm, under, codes = [], [], Counter[str]()
    nothing = bytes(len(data))  # as many bytes that are no recording
    with attacked(server, nothing, Counter()):
        calm += waits(server, clip)
    before = hostile.memory_bytes(server.process.pid, "Rss")
    with Watch(server) as watch, attacked(server, data, codes):
        for _ in range(2):
            under += waits(server, clip)
    with attacked(server, nothing, Counter()):
        calm += waits(server, clip)
    return {
        "name": name,
        "size_mib": round(len(data) / MIB, 2),
        "codes": codes,
        "growth_mib": round(max(0, watch.server_bytes - before) / MIB, 1),
        "child_mib": round(watch.child_bytes / MIB, 1),
        "wait_calm_ms": round(1000 * statistics.median(calm), 1),
        "wait_under_ms": round(1000 * statistics.median(under), 1),
        "freed_s": freed_s(server, data),
    }


def broken_bars(found: dict[str, Any]) -> list[str]:
    """The bars that a measurement does not keep."""
    bars = {
        "growth_mib": found["growth_mib"] <= GROWTH_BYTES_MAX / MIB,
        "child_mib": found["child_mib"] <= CHILD_BYTES_MAX / MIB,
        "wait_under_ms": found["wait_under_ms"] <= SLOWER_MAX * found["wait_calm_ms"],
        "freed_s": (found["freed_s"] or 0.0) <= FREED_S_MAX,
    }
    return [name for name, kept in bars.items() if not kept]


def attacks(home: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Each hostile recording against one server."""
    samples, rate = sounds.samples()
    clip = sounds.wav(samples[: 5 * rate], rate)
    more = os.environ.get("GLAGOL_HOSTILE")
    server = start(home, folder / "attacked", ASR_THREADS="1")
    try:
        for _ in range(3):
            waits(server, clip)
        for name, make in hostile.recordings(Path(more) if more else None).items():
            data = make()
            for number in range(TRIES):
                found = attack(server, name, data, clip)
                found["tries"] = number + 1
                found["broken"] = broken_bars(found)
                if not set(found["broken"]) & TIMES:
                    break
            yield found
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def main() -> int:
    """1 when a promise is broken."""
    parts, broken = sys.argv[1:] or ["attacks", "damaged", "kills"], list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = make_home(folder / "home")
        if "attacks" in parts:
            for found in attacks(home, folder):
                _say(found)
                broken += [f"{found['name']}: {bar}" for bar in found["broken"]]
        if "damaged" in parts:
            _say(damaged(int(os.environ.get("GLAGOL_JAIL_FILES", FILES)), 2026))
        if "kills" in parts:
            rounds = int(os.environ.get("GLAGOL_KILL_ROUNDS", ROUNDS))
            _say(kill.prove(home, folder, rounds, seed=7))
    for each in broken:
        sys.stdout.write(f"BROKEN: {each}\n")
    return bool(broken)


def _say(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
