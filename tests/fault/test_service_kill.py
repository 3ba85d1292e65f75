"""kill -9 of the server at random moments of uploads and jobs: what was accepted gets done, once.

Three rounds here; GLAGOL_KILL_ROUNDS sets another number (`./just proof service` runs 100).
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import sounds
from asr.process import PATIENCE_S, Server, start
from glagol.asr.jobs import inputs
from glagol.asr.jobs.service import Jobs, open_jobs
from glagol.asr.settings import Settings
from glagol.asr.tus.store import UploadInfo, Uploads
from glagol.core.errors import InputError
from glagol.web.access.policy import Policy
from homes import make_home

ROUNDS = int(os.environ.get("GLAGOL_KILL_ROUNDS", "3"))
URL = "/v1/transcribe?async=true"
UPLOAD_BYTES = 8 << 20
WINDOW_S = 0.8  # one round's uploads and job take about as long on an idle machine


class Caller(threading.Thread):
    """Sends uploads until the server is gone, and remembers which keys were answered with 202."""

    def __init__(self, server: Server, number: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._number = number
        self.accepted: dict[str, str] = {}

    def run(self) -> None:
        """Small uploads, one after the other, each under its own key."""
        try:
            with self._server.client() as client:
                for turn in range(100):
                    key = f"{self._number}-{turn}"
                    answer = client.put(
                        URL, content=sounds.clip(), headers={"Idempotency-Key": key}
                    )
                    if answer.status_code == 202:
                        self.accepted[key] = answer.json()["data"]["id"]
                    time.sleep(0.05)
        except httpx.TransportError:
            pass


def half_sent(server: Server) -> socket.socket:
    """An upload of 8 MiB that stops halfway, big enough to be on the disk."""
    place = urlsplit(server.url)
    raw = socket.create_connection((place.hostname, place.port or 0))
    head = f"PUT {URL} HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {8 << 20}\r\n\r\n"
    raw.sendall(head.encode() + bytes(4 << 20))
    return raw


def half_checked(server: Server, upload_id: str) -> socket.socket:
    """A body with a checksum for an upload of `UPLOAD_BYTES`, that stops halfway."""
    place = urlsplit(server.url)
    raw = socket.create_connection((place.hostname, place.port or 0))
    digest = base64.b64encode(hashlib.sha256(bytes(UPLOAD_BYTES)).digest()).decode()
    head = [
        f"PATCH /v1/uploads/{upload_id} HTTP/1.1",
        "Host: [::1]",
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Type: application/offset+octet-stream",
        f"Content-Length: {UPLOAD_BYTES}",
        f"Upload-Checksum: sha256 {digest}",
    ]
    raw.sendall("\r\n".join([*head, "", ""]).encode() + bytes(UPLOAD_BYTES // 2))
    return raw


def resumable(state: Path) -> Uploads:
    """The uploads, as the killed server left them."""
    return Uploads(state / "uploads", UPLOAD_BYTES, lambda: 1 << 30)


def reopened(state: Path) -> Jobs:
    """The queue and the inputs, as the killed server left them."""
    return open_jobs(Settings(state=str(state)), Policy)


def is_known(jobs: Jobs, job_id: str) -> bool:
    """Whether the queue has this job."""
    try:
        return bool(jobs.queue.get(job_id).id)
    except InputError:
        return False


def until_ended(client: httpx.Client) -> None:
    """Wait until no job waits or runs."""
    end = time.monotonic() + PATIENCE_S
    while any(
        job["state"] in ("queued", "running")
        for job in client.get("/v1/jobs", params={"limit": 100}).json()["data"]["jobs"]
    ):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_no_accepted_job_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 202 ends as done with one result; no input is left; no job is there twice.

    A body with a checksum that never ended leaves nothing that counts.
    """
    chance = random.Random(20261121)  # noqa: S311 - to be repeated, not to be secret
    home, state = make_home(tmp_path / "home"), tmp_path / "state"
    state.mkdir()
    (state / "policy.toml").write_text("[jobs]\nlease_s = 2\nattempts = 50\n")
    accepted: dict[str, str] = {}
    upload_id = resumable(state).create(UploadInfo(UPLOAD_BYTES))
    for number in range(ROUNDS):
        server = start(home, tmp_path / f"round-{number}", ASR_STATE=str(state))
        caller = Caller(server, number)
        with half_sent(server), half_checked(server, upload_id):
            caller.start()
            time.sleep(chance.uniform(0.05, WINDOW_S))
            server.kill()
        caller.join(PATIENCE_S)
        accepted |= caller.accepted
        assert resumable(state).look(upload_id, "")[1] == 0, number  # the whole body, or nothing
        left = reopened(state)
        assert all(is_known(left, each) for each in caller.accepted.values()), number
        # a kill between naming the input and putting its job leaves one file, for the sweep
        orphans = [file for file in (state / "spool").iterdir() if not is_known(left, file.name)]
        assert len(orphans) <= number + 1
        left.queue.close()
    server = start(home, tmp_path / "last", ASR_STATE=str(state))
    with server.client() as client:
        for key, job_id in accepted.items():
            end = time.monotonic() + PATIENCE_S
            while (job := client.get(f"/v1/jobs/{job_id}").json()["data"])["state"] != "done":
                assert job["state"] in ("queued", "running"), job
                assert time.monotonic() < end, job
                time.sleep(0.05)
            again = client.put(URL, content=sounds.clip(), headers={"Idempotency-Key": key})
            assert again.json()["data"]["id"] == job_id
        # a job may be stored without its answer, and wait for the lease of the killed server
        until_ended(client)
        results = {client.get(f"/v1/jobs/{each}/result").content for each in accepted.values()}
        assert len(results) == min(1, len(accepted))
    assert server.stop() == 0
    monkeypatch.setattr(inputs, "ORPHAN_S", -1.0)
    left = reopened(state)
    left.sweep()
    assert not list((state / "spool").iterdir())
    left.queue.close()
