"""kill -9 of the jail's children and its zygote while a server works jobs and requests."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import sounds
from asr.process import PATIENCE_S, Server, start
from fault.jail import hostile

JOBS, WINDOW_S = 4, 1.0
PATIENT = "[jobs]\nlease_s = 2\nattempts = 50\n"


class Killer(threading.Thread):
    """Kills one process of the jail after the other, at random moments."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.killed = {"child": 0, "zygote": 0}
        self._server = server.process.pid
        self._chance = chance
        self._end = time.monotonic() + WINDOW_S

    def run(self) -> None:
        """Some ten children a second, and the zygote once."""
        turn = self._chance.randrange(8)
        while time.monotonic() < self._end:
            time.sleep(self._chance.uniform(0.01, 0.2))
            turn += 1
            zygotes = hostile.children_of(self._server)
            kind = "zygote" if turn % 8 == 0 else "child"
            victims = (
                zygotes
                if kind == "zygote"
                else [child for zygote in zygotes for child in hostile.children_of(zygote)]
            )
            if victims:
                try:
                    os.kill(self._chance.choice(victims), signal.SIGKILL)
                    self.killed[kind] += 1
                except ProcessLookupError:
                    pass


def prove(home: Path, folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Every job that was accepted is done in the end, once; every request is answered.

    Returns:
        How many of each were killed, and what requests got.
    """
    chance, state = random.Random(seed), folder / "jail-state"  # noqa: S311 - to be repeated
    state.mkdir()
    (state / "policy.toml").write_text(PATIENT)
    server = start(home, folder / "killed", ASR_STATE=str(state))
    try:
        found = _rounds(server, rounds, chance)
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()
    return found


def _rounds(server: Server, rounds: int, chance: random.Random) -> dict[str, Any]:
    answers: dict[str, int] = {}
    killed = {"child": 0, "zygote": 0}
    accepted: list[str] = []
    with server.client() as client:
        wanted = client.put("/v1/transcribe?format=text", content=sounds.clip()).content
        for number in range(rounds):
            killer = Killer(server, chance)
            killer.start()
            for turn in range(JOBS):
                key = {"Idempotency-Key": f"{number}-{turn}"}
                answer = client.put("/v1/transcribe?async=true", content=sounds.clip(), headers=key)
                if answer.status_code == 503:  # its decoder was killed: the client comes again
                    answer = client.put(
                        "/v1/transcribe?async=true", content=sounds.clip(), headers=key
                    )
                if answer.status_code == 202:
                    accepted.append(answer.json()["data"]["id"])
                else:
                    assert answer.json()["error"]["code"] == "decoder_lost", answer.text
                answer = client.put("/v1/transcribe?format=text", content=sounds.clip())
                code = "done" if answer.status_code == 200 else answer.json()["error"]["code"]
                answers[code] = answers.get(code, 0) + 1
                assert code in {"done", "decoder_lost"}, answer.text
                assert code != "done" or answer.content == wanted
            killer.join()
            killed = {kind: killed[kind] + count for kind, count in killer.killed.items()}
        for job_id in accepted:
            end = time.monotonic() + PATIENCE_S
            while (job := client.get(f"/v1/jobs/{job_id}").json()["data"])["state"] != "done":
                assert job["state"] in ("queued", "running"), job
                assert time.monotonic() < end, job
                time.sleep(0.05)
        results = {client.get(f"/v1/jobs/{each}/result?format=text").content for each in accepted}
        assert results == {wanted}
        assert len(set(accepted)) == len(accepted)
        assert client.put("/v1/transcribe?format=text", content=sounds.clip()).content == wanted
    return {"rounds": rounds, "killed": killed, "jobs": len(accepted), "requests": answers}
