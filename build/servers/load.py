"""Callers that send jobs, uploads and short requests to one address, and retry as documented.

A request that got no answer, or one with Retry-After, is sent again: docs/guides/servers.md. Any
other answer than the wanted one is a failure.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

__all__ = ["Caller", "Load"]

PATIENCE_S = 300.0
RETRY_S = 0.5
JOB, SHORT = "/v1/transcribe?async=true", "/v1/transcribe"
TUS = {"Tus-Resumable": "1.0.0"}


class FailedError(Exception):
    """An answer that no documented retry allows."""


class Load:
    """What all callers note.

    Attributes:
        over: set when they are to stop.
        counts: requests and retries, by what they were.
        failures: answers that should not have come.
        texts: texts of results, by what was sent.
        jobs: ids of accepted jobs, by idempotency key.
        waiting: keys of those whose result was not read yet.
    """

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.texts: set[str] = set()
        self.jobs: dict[str, str] = {}

    def ask(self, method: str, path: str, *wanted: int, **more: Any) -> httpx.Response:
        """One request on a connection of its own, until it has an answer that is one.

        Raises:
            FailedError: another answer, or none in `PATIENCE_S`.
        """
        end = time.monotonic() + PATIENCE_S
        name = f"{method} {path.split('?', 1)[0].rsplit('/', 1)[0] if '/jobs/' in path else path}"
        self.counts["requests"] += 1
        while time.monotonic() < end:
            try:
                answer = httpx.request(
                    method, self.base + path, timeout=PATIENCE_S, trust_env=False, **more
                )
            except httpx.TransportError:
                self.counts["retries: no answer"] += 1
            else:
                if answer.status_code in wanted:
                    return answer
                if "retry-after" not in answer.headers:
                    said = f"{name}: {answer.status_code} {answer.text[:200]}"
                    raise FailedError(said)
                code = answer.json()["error"]["code"]
                self.counts[f"retries: {answer.status_code} {code}"] += 1
            time.sleep(RETRY_S)
        raise FailedError(f"{name}: no answer in {PATIENCE_S:g} s")


class Caller(threading.Thread):
    """One caller, by its kind: `jobs`, `uploads` or `short`."""

    def __init__(self, load: Load, kind: str, audio: bytes) -> None:
        super().__init__(daemon=True)
        self._load, self._audio, self._kind = load, audio, kind
        self._turn: Callable[[str], str] = getattr(self, f"_{kind}")

    def run(self) -> None:
        """Turns, one after the other."""
        number = 0
        while not self._load.over.is_set():
            number += 1
            try:
                self._load.texts.add(self._turn(f"{self._kind}-{number}"))
            except FailedError as failed:
                self._load.failures.append(str(failed))
            self._load.counts[f"turns of {self._kind}"] += 1

    def _short(self, _: str) -> str:
        answer = self._load.ask("PUT", SHORT, 200, content=self._audio)
        return _text(answer)

    def _jobs(self, key: str) -> str:
        head = {"Idempotency-Key": key}
        answer = self._load.ask("PUT", JOB, 200, 202, content=self._audio, headers=head)
        return self._ended(key, answer)

    def _uploads(self, key: str) -> str:
        """In two bodies, which two servers get; after a break from where the server is."""
        size = len(self._audio)
        head = TUS | {"Upload-Length": str(size)}
        made = self._load.ask("POST", "/v1/uploads", 201, headers=head)
        upload = made.headers["location"].rsplit("/", 1)[1]
        place, sent = f"/v1/uploads/{upload}", 0
        while sent < size:
            until = size // 2 if sent < size // 2 else size
            head = TUS | {"Upload-Offset": str(sent)}
            head["Content-Type"] = "application/offset+octet-stream"
            body = self._audio[sent:until]
            answer = self._load.ask("PATCH", place, 204, 409, content=body, headers=head)
            if answer.status_code == 409:  # the answer of an earlier one was lost
                self._load.counts["retries: 409 upload_state"] += 1
                answer = self._load.ask("HEAD", place, 200, headers=TUS)
            sent = int(answer.headers["upload-offset"])
        head = {"Idempotency-Key": key}
        answer = self._load.ask("POST", f"{JOB}&upload={upload}", 200, 202, headers=head)
        text = self._ended(key, answer)
        self._load.ask("DELETE", place, 204, 404, headers=TUS)
        return text

    def _ended(self, key: str, answer: httpx.Response) -> str:
        """The text of a job once it is done."""
        job = answer.json()["data"]
        self._load.jobs[key] = job["id"]
        end = time.monotonic() + PATIENCE_S
        while job["state"] in ("queued", "running"):
            if time.monotonic() > end:
                raise FailedError(f"the job {job['id']} never ends")
            time.sleep(RETRY_S)
            job = self._load.ask("GET", f"/v1/jobs/{job['id']}", 200).json()["data"]
        if job["state"] != "done":
            raise FailedError(f"a job ended as {job['state']}: {json.dumps(job)[:300]}")
        return _text(self._load.ask("GET", f"/v1/jobs/{job['id']}/result", 200))


def _text(answer: httpx.Response) -> str:
    text: str = answer.json()["data"]["text"]
    return text
