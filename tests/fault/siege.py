"""The siege: a real server under attack, and how long another caller waits meanwhile.

Another caller, by another key and from another address, asks four times a second for `/health`,
`/ready` and a transcription, each on a connection of its own. The bar is that each of them is
answered within `BAR_S` throughout. `./just proof siege` runs each attack alone, then all at once,
stops Redis, and ends servers with SIGTERM in every mix of what may hold one up.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import sounds
from asr.process import Server, start
from fault import siege_attacks
from glagol.web.access.api_keys import Keyring
from homes import make_home
from jobs.redis_server import PROGRAM, RedisServer
from jobs.webhooks.receiver import receiver

CLIP = Path(__file__).resolve().parents[2] / "models/gigaam-nano/golden/clip.flac"
BAR_S, STOP_S = 1.0, 30.0
ROUNDS = 3  # a machine that others share stalls now and then; a fault of the server comes back
EVERY_S = 0.25
ALICE = ("127.0.0.2", 0)
SECRET = "whsec_" + "c2VjcmV0" * 5
LONG_S = 7000  # of speech: more than a server transcribes before it is made to stop
ASKED = {
    "health": ("GET", "/health"),
    "ready": ("GET", "/ready"),
    "speech": ("PUT", "/v1/transcribe"),
}


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass
class Besieged:
    """A server, the keys of its callers, and a receiver of webhooks that never answers."""

    server: Server
    attackers: dict[str, str]
    alice: str
    tarpit: int
    hooks: int

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.server.url).port or 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, timeout_s: float = 10.0
    ) -> Any:
        """Status and body of a request by the honest caller."""
        wire = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=timeout_s, source_address=ALICE
        )
        try:
            wire.request(method, path, body, {"Authorization": f"Bearer {self.alice}"})
            answer = wire.getresponse()
            return answer.status, answer.read()
        finally:
            wire.close()


@contextmanager
def besieged(folder: Path, **settings: Any) -> Iterator[Besieged]:
    """A server with keys on, and receivers of webhooks."""
    state = folder / "state"
    state.mkdir(parents=True)
    ring, attackers = Keyring(keys=()), {}
    for name in siege_attacks.ATTACKS:
        ring, attackers[name] = ring.add(name, created=datetime.now(UTC))
    ring, alice = ring.add("alice", created=datetime.now(UTC))
    (state / "keys.json").write_bytes(ring.written())
    (state / "keys.json").chmod(0o600)
    with socket.socket() as tarpit, receiver() as hooks:
        tarpit.bind(("127.0.0.1", 0))
        tarpit.listen(500)
        ports = [tarpit.getsockname()[1], hooks.port]
        (state / "policy.toml").write_text(
            f'[webhooks]\nsecrets = ["{SECRET}"]\nallow = ["127.0.0.0/8"]\nports = {ports}\n'
        )
        server = start(make_home(folder / "home"), folder / "run", ASR_STATE=str(state), **settings)
        try:
            yield Besieged(server, attackers, alice, ports[0], ports[1])
        finally:
            server.process.kill()
            server.process.wait()


@dataclass
class Waits:
    """How long the honest caller waited, in seconds, by what it asked for; a failure is endless."""

    found: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    troubles: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, target: Besieged, name: str, body: bytes | None) -> None:
        """Ask for one thing again and again."""
        method, path = ASKED[name]
        while not self.over.wait(EVERY_S):
            began = time.monotonic()
            try:
                status, answer = target.ask(method, path, body)
            except OSError as error:
                status, answer = 0, repr(error).encode()
            self.found[name].append(time.monotonic() - began if status == 200 else math.inf)
            if status != 200:
                self.troubles.append(f"{name}: {status} {answer[:200]!r}")

    def worst(self) -> float:
        """The longest wait."""
        return max(max(each, default=math.inf) for each in self.found.values())

    def __str__(self) -> str:
        cells = []
        for name, found in self.found.items():
            middle = statistics.median(found)
            cells.append(f"{name} {1e3 * middle:.0f}/{1e3 * max(found):.0f} ms of {len(found)}")
        return ", ".join(cells)


@contextmanager
def watched(target: Besieged) -> Iterator[Waits]:
    """Measure while a block runs."""
    waits, clip = Waits(), CLIP.read_bytes()
    threads = [
        threading.Thread(
            target=waits.ask, args=(target, name, clip if name == "speech" else None), daemon=True
        )
        for name in ASKED
    ]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        waits.over.set()
        for thread in threads:
            thread.join()


@contextmanager
def attacked(target: Besieged, *names: str) -> Iterator[dict[str, Any]]:
    """Attack while a block runs; then what became of the attackers is in what was given."""
    command = [sys.executable, siege_attacks.__file__, str(target.port)]
    command += [str(target.tarpit), str(CLIP)]
    command += [f"{name}={target.attackers[name]}" for name in names]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    counts: dict[str, Any] = {}
    try:
        yield counts
    finally:
        counts |= json.loads(process.communicate(timeout=60)[0] or b"{}")


def siege(target: Besieged, seconds: float, *names: str) -> list[str]:
    """Attack for `seconds`, up to `ROUNDS` times until a round is good; the faults of the last."""
    wrong: list[str] = []
    for turn in range(ROUNDS):
        wrong = siege_once(target, seconds, *names)
        if not wrong:
            break
        say(f"    round {turn + 1} of {ROUNDS}: {'; '.join(wrong)}")
    return wrong


def siege_once(target: Besieged, seconds: float, *names: str) -> list[str]:
    """Attack for `seconds`, print what was measured, and return the faults that were seen."""
    with attacked(target, *names) as counts, watched(target) as waits:
        time.sleep(seconds)
        late = None
        if "hooks" in names:
            try:
                late = _webhook_s(target)
            except OSError:
                late = math.inf
    say(f"{' + '.join(names)}: {waits}")
    say(f"    attackers: {', '.join(f'{k} {v}' for k, v in sorted(counts.items()) if v)}")
    wrong = [f"{names}: {each}" for each in waits.troubles[:3]]
    if waits.worst() > BAR_S:
        wrong.append(f"{names}: a wait of {waits.worst():.2f} s")
    if late is not None:
        say(f"    another caller's webhook came {late:.1f} s after its job was sent")
        wrong += [f"the webhook took {late:.1f} s"] if late > 10 * BAR_S else []
    wrong += [f"{names}: an attacker failed: {counts['failed']}"] if counts.get("failed") else []
    return wrong


def _webhook_s(target: Besieged) -> float:
    """Seconds from sending a job until its webhook is delivered."""
    began = time.monotonic()
    address = quote(f"http://127.0.0.1:{target.hooks}/alice", safe="")
    path = f"/v1/transcribe?async=true&webhook_url={address}"
    status, body = target.ask("PUT", path, CLIP.read_bytes())
    if status != 202:
        return math.inf
    job = json.loads(body)["data"]["id"]
    while time.monotonic() - began < 60:
        found = json.loads(target.ask("GET", "/v1/deliveries")[1])["data"]["deliveries"]
        if any(each["job_id"] == job and each["state"] == "done" for each in found):
            return time.monotonic() - began
        time.sleep(0.1)
    return math.inf


def hung_redis(folder: Path) -> list[str]:
    """Stop Redis under a server: whatever needs no job still works."""
    redis = RedisServer(folder)
    redis.start()
    try:
        with besieged(folder / "server", ASR_REDIS_URL=redis.url) as target:
            redis.pause()
            with watched(target) as waits:
                askers = [
                    threading.Thread(target=target.ask, args=("GET", "/v1/jobs", None, 60.0))
                    for _ in range(24)
                ]
                for each in askers:
                    each.start()
                for each in askers:
                    each.join()
    finally:
        redis.kill()
    say(f"Redis that does not answer, 24 lists of jobs: {waits}")
    return [f"Redis: {waits.worst():.2f} s {waits.troubles[:3]}"] if waits.worst() > BAR_S else []


def stopped(folder: Path, mix: tuple[str, ...]) -> list[str]:
    """End a server with SIGTERM while it has a long job, a stalled body, a reader, a stream."""
    with besieged(folder) as target, ExitStack() as stack:
        attack = siege_attacks.Attack(target.port, target.alice, 0, b"", ALICE)
        job = ""
        if {"job", "events"} & set(mix):
            _, body = target.ask("PUT", "/v1/transcribe?async=true", sounds.long_speech(LONG_S), 60)
            job = json.loads(body)["data"]["id"]
        lines = {
            "body": attack.head("PUT /v1/transcribe", "Content-Length: 2000000") + b"R",
            "events": attack.head(f"GET /v1/jobs/{job}/events"),
            "stream": attack.head(
                "GET /v1/stream", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ) + b"\x81\x90\0\0\0\0" + b'{"type":"start"}',
        }  # fmt: skip
        for name in mix:
            if name in lines:
                wire = stack.enter_context(socket.create_connection(("127.0.0.1", target.port)))
                wire.sendall(lines[name])
        before = _until_running(target, job) if job else None
        if job and "job" not in mix:
            target.ask("DELETE", f"/v1/jobs/{job}")
        time.sleep(0.5)
        began = time.monotonic()
        target.server.process.send_signal(signal.SIGTERM)
        status = target.server.process.wait(90)
        took_s = time.monotonic() - began
    say(f"SIGTERM with {' + '.join(mix)}: exit status {status} after {took_s:.1f} s")
    wrong = (
        [f"SIGTERM with {mix}: {status} after {took_s:.1f} s"] if took_s > STOP_S or status else []
    )
    if before is not None and "job" in mix:
        wrong += _given_back(folder / "state", job, before)
    return wrong


def _until_running(target: Besieged, job: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found: dict[str, Any] = json.loads(target.ask("GET", f"/v1/jobs/{job}")[1])["data"]
        if found["state"] == "running":
            return found
        time.sleep(0.05)
    raise AssertionError(f"the job {job} does not run")


def _given_back(state: Path, job: str, before: dict[str, Any]) -> list[str]:
    """The job waits again, and has as many attempts left as before it was begun."""
    from glagol.jobs.factory import open_queue

    queue = open_queue("", state)
    found = queue.get(job)
    queue.close()
    left = found.attempts_max - found.attempt
    was = before["attempts_max"] - before["attempt"] + 1
    good = found.state == "queued" and left == was
    return (
        [] if good else [f"after SIGTERM the job is {found.state}, {left} attempts left of {was}"]
    )


def prove(*, quick: bool) -> list[str]:
    """Run the siege; what is not as it should be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * siege_attacks.SILENT + 1000:
        say(f"SKIPPED: siege: {most} files may be open, too few for the silent connections")
        return []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="siege-") as name:
        folder = Path(name)
        alone = [] if quick else [*siege_attacks.ATTACKS]
        with besieged(folder / "attacks") as target:
            with watched(target) as waits:
                time.sleep(2 if quick else 10)
            say(f"in peace: {waits}")
            for each in alone:
                wrong += siege(target, 40, each)
            wrong += siege(target, 25 if quick else 60, *siege_attacks.ATTACKS)
        if quick:
            return wrong + stopped(folder / "stop", ("job", "body", "events", "stream"))
        if PROGRAM is None:
            say("SKIPPED: siege: there is no redis-server on this machine")
        else:
            (folder / "redis").mkdir()
            wrong += hung_redis(folder / "redis")
        parts = ("job", "body", "events", "stream")
        mixes = [m for size in (1, 2, 3, 4) for m in itertools.combinations(parts, size)]
        for turn, mix in enumerate(mixes):
            wrong += stopped(folder / f"stop-{turn}", mix)
    return wrong
