"""The work of build/proof-servers; exit status 1 when anything is not as promised."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from balancer import Balancer
from load import Caller, Load

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from asr.process import Server  # noqa: E402 - the tests' folder is on the path only now
from glagol.jobs.factory import open_queue  # noqa: E402
from glagol.web.audit_log import verify  # noqa: E402
from homes import make_home  # noqa: E402
from jobs.redis_server import RedisServer  # noqa: E402
from sounds import clip  # noqa: E402

PATIENCE_S = 300.0
QUICK = os.environ.get("GLAGOL_SERVERS") == "quick"
CALLERS = ("jobs", "jobs", "uploads", "short")
PAGE = 200
POLICY = "[jobs]\nlease_s = 30\nattempts = 10\n"


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def holds(what: str, *, held: bool) -> int:
    """Report one promise; 1 if it is broken."""
    say(f"{'ok    ' if held else 'BROKEN'} {what}")
    return 0 if held else 1


def wait(what: str, held: object) -> None:
    """Until a condition holds; the proof ends when it never does."""
    assert callable(held)  # noqa: S101
    end = time.monotonic() + PATIENCE_S
    while not held():
        if time.monotonic() > end:
            sys.exit(f"BROKEN {what} in {PATIENCE_S:g} s")
        time.sleep(0.1)


@dataclass(frozen=True)
class Release:
    """A checkout to run and its home.

    Attributes:
        name: for messages.
        checkout: folder of its packages.
        home: with its manifest and its models.
    """

    name: str
    checkout: Path
    home: Path


@dataclass
class Member:
    """A server or worker that can be ended and begun again on another release.

    Attributes:
        module: what runs.
        number: of its kind.
        settings: of its environment.
        port: where it listens; 0 for a worker.
    """

    module: str
    number: int
    settings: dict[str, str]
    folder: Path
    port: int = 0
    begun: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    log: Path = Path()

    def begin(self, release: Release) -> None:
        """Start it, and wait until it works."""
        self.begun += 1
        self.log = self.folder / f"{self.module}-{self.number}-{self.begun}.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ASR_", "GLAGOL_"))}
        sources = sorted(map(str, release.checkout.glob("packages/*/src")))
        own = {"PYTHONPATH": os.pathsep.join(sources), "GLAGOL_HOME": str(release.home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            env=kept | own | self.settings,
            cwd=self.folder,
            stderr=self.log.open("wb"),
        )
        wait(f"{self} of {release.name} starts", self._works)

    def _works(self) -> bool:
        assert self.process is not None  # noqa: S101
        if self.process.poll() is not None:
            sys.exit(f"BROKEN {self} ended:\n{self.log.read_text()[-3000:]}")
        if not self.port:
            return '"model ready"' in self.log.read_text()
        try:
            url = f"http://127.0.0.1:{self.port}/ready"
            return httpx.get(url, timeout=10, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def end(self) -> None:
        """SIGTERM, and wait until it is gone."""
        assert self.process is not None  # noqa: S101
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        if status:
            sys.exit(f"BROKEN {self} ended with {status}:\n{self.log.read_text()[-3000:]}")

    @property
    def did(self) -> int:
        """Jobs that it did since it was begun."""
        found = Server(None, "", self.log, *[Path()] * 4)  # type: ignore[arg-type]
        return sum(line["outcome"] == "done" for line in found.lines("job"))

    def __str__(self) -> str:
        """Kind and number."""
        return f"{'server' if self.port else 'worker'} {self.number}"


def free_port() -> int:
    """A port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def older(commit: str, folder: Path) -> Release:
    """A work tree of an earlier commit, with the models that its manifest names."""
    checkout = folder / "older"
    checkout.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "packages", "models", "manifest.json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    subprocess.run(["tar", "-x", "-C", str(checkout)], input=packed.stdout, check=True)
    home = make_home(folder / "older-home")
    (home / "manifest.json").write_bytes((checkout / "manifest.json").read_bytes())
    (home / "models").unlink()
    (home / "models").symlink_to(checkout / "models")
    return Release(f"the release of {commit}", checkout, home)


def rolled(members: list[Member], release: Release, load: Load) -> None:
    """One after the other on a release; the next only when this one did a job."""
    for member in members:
        member.end()
        member.begin(release)
        wait(f"{member} of {release.name} does a job", lambda m=member: m.did > 0)
        say(f"      {member} is of {release.name}; {load.counts['requests']} requests so far")


def judged(load: Load, url: str, state: Path) -> int:
    """How many promises are broken, once the load is over."""
    queue = open_queue(url, state)
    found: list[str] = []
    before = ""
    while page := queue.page(kind="transcribe", before=before, limit=PAGE):
        for job in page:
            found.append(job.id)
            load.counts[f"jobs {job.state}"] += 1
        before = page[-1].id
    queue.close()
    for word, count in sorted(load.counts.items()):
        say(f"      {count} {word}")
    for failure in load.failures[:10]:
        say(f"      {failure}")
    report = verify(state / "audit.log")
    done = load.counts["jobs done"]
    broken = holds(f"{len(load.failures)} requests failed", held=not load.failures)
    broken += holds(
        f"{len(load.jobs)} keys were accepted, {len(found)} jobs exist, {done} are done",
        held=sorted(found) == sorted(load.jobs.values()) and len(found) == done > 0,
    )
    broken += holds(f"{len(load.texts)} text for one recording", held=len(load.texts) == 1)
    broken += holds(
        f"the audit log of all is one chain: {report.lines} lines", held=not report.fault
    )
    return broken


def main(commit: str) -> int:
    """All of it; 1 when a promise is broken."""
    with tempfile.TemporaryDirectory(prefix="glagol-servers-") as place:
        folder = Path(place)
        now = Release("this release", ROOT, make_home(folder / "home"))
        past = older(commit, folder)
        state = folder / "state"
        state.mkdir(mode=0o700)
        (state / "policy.toml").write_text(POLICY)
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis")
        redis.start()
        settings = {"ASR_REDIS_URL": redis.url, "ASR_STATE": str(state), "ASR_THREADS": "1"}
        members = []
        for number in (1, 2):
            port = free_port()
            more = settings | {"ASR_PORT": str(port), "ASR_HOST": "127.0.0.1"}
            members.append(Member("glagol.asr", number, more, folder, port))
        members += [Member("glagol.asr.worker", n, settings, folder) for n in (1, 2)]
        try:
            for member in members:
                member.begin(now)
            return int(_proved(members, now, past, redis.url, state) > 0)
        finally:
            for member in members:
                if member.process is not None and member.process.poll() is None:
                    member.process.kill()
                    member.process.wait()
            redis.kill()


def _proved(members: list[Member], now: Release, past: Release, url: str, state: Path) -> int:
    balancer = Balancer([member.port for member in members if member.port])
    balancer.begin()
    load = Load(balancer.port)
    callers = [Caller(load, kind, clip()) for kind in CALLERS]
    for caller in callers:
        caller.start()
    if not QUICK:
        rolled(members, now, load)
    rolled(members, past, load)  # servers first: an older server with a newer worker
    rolled(members[::-1], now, load)  # workers first
    load.over.set()
    for caller in callers:
        caller.join(PATIENCE_S)
    return judged(load, url, state)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
