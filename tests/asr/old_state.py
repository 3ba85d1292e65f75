"""The kept state of release 0.1 (`tests/fixtures/state-0.1`), brought into a test's own time.

Times are moved so that the state was left just now, and the receiver's port is the test's own;
nothing else of what that release wrote is touched.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import UnixDomainSocketConnection

KEPT = Path(__file__).resolve().parents[1] / "fixtures/state-0.1"
TIMES = ("created_s", "changed_s", "due_s", "expires_s", "lease_until_s")
SCORES = ("later", "due", "lease", "ends")  # sorted sets whose scores are times


@dataclass(frozen=True)
class Old:
    """A copy of one of the two states.

    Attributes:
        state: The directory for ASR_STATE.
        made: What `make_state.py` noted of it: key, ids, texts.
        secret: Signs webhooks.
        shift_s: How long ago it was left, which its times were moved by.
    """

    state: Path
    made: dict[str, Any]
    secret: str
    shift_s: float
    port: str

    def fill(self, url: str) -> None:
        """Give a Redis what the release left in its own."""
        text = (self.state / "commands.json").read_text().replace(*self._ports())
        opened: Any = UnixDomainSocketConnection
        connection = opened(path=url.removeprefix("unix://"))
        for words in json.loads(text):  # past the client, which would read the answers' meaning
            connection.send_command(*self._moved(words))
            connection.read_response()
        connection.disconnect()

    def _ports(self) -> tuple[str, str]:
        return f"127.0.0.1:{_about()['port']}", f"127.0.0.1:{self.port}"

    def _moved(self, words: list[str]) -> list[str]:
        """A command with its times moved."""
        command, key, *rest = words
        name = key.split(":")[1] if ":" in key else ""
        if command == "ZADD" and name in SCORES:
            rest[::2] = [str(float(score) + self.shift_s) for score in rest[::2]]
        if command in {"HMSET", "XADD"}:
            for at, word in enumerate(rest):
                if word in TIMES and float(rest[at + 1]):
                    rest[at + 1] = f"{float(rest[at + 1]) + self.shift_s:.6f}"
        return [command, key, *rest]

    def _file(self) -> None:
        with closing(sqlite3.connect(self.state / "jobs.sqlite")) as db, db:
            for name in TIMES:
                moved = f"{name} = {name} + ? WHERE {name} > 0"
                db.execute(f"UPDATE job SET {moved}", (self.shift_s,))  # noqa: S608
            changed = "CAST(replace(CAST(bytes AS TEXT), ?, ?) AS BLOB)"
            db.execute(f"UPDATE payload SET bytes = {changed}", self._ports())  # noqa: S608


def copied(name: str, folder: Path, port: int) -> Old:
    """The state `name` (`sqlite` or `redis`) in `folder`, with a receiver at `port`."""
    about = _about()
    state = folder / "state"
    shutil.copytree(KEPT / name, state)
    old = Old(state, about[name], about["secret"], time.time() - about[name]["made_s"], str(port))
    policy = (state / "policy.toml").read_text()
    (state / "policy.toml").write_text(policy.replace(about["port"], str(port)))
    if name == "sqlite":
        old._file()
    return old


def _about() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((KEPT / "made.json").read_text())
    return found
