"""The steps that tests of jobs take: submit one, look at it, wait for it, see what it left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import msgspec

import sounds
from asr.bench import Bench
from glagol.asr.jobs.schemas import JobEnvelope, JobView, Links
from glagol.core.errors import CODES
from glagol.web import envelope

URL = "/v1/transcribe?async=true"
PATIENCE_S = 30.0
SECRET = "whsec_" + "A" * 32
HOOK = "http://127.0.0.1:8443/hook"  # allowed below; no server listens


def view(answer: httpx.Response) -> JobView:
    """The job that an answer tells of, with the links as its reader resolves them."""
    job, base = msgspec.json.decode(answer.content, type=JobEnvelope).data, answer.url.path
    found = {
        name: link and urljoin(base, link)
        for name, link in msgspec.structs.asdict(job.links).items()
    }
    return msgspec.structs.replace(job, links=Links(**found))


def code(answer: httpx.Response) -> str:
    body = msgspec.json.decode(answer.content, type=envelope.Failure).error
    assert answer.status_code == CODES[body.code].http_status
    return body.code


def submit(bench: Bench, query: str = "", **headers: str) -> JobView:
    answer = bench.send("PUT", URL + query, content=sounds.silence(1), headers=headers)
    assert answer.status_code == 202, answer.text
    assert urljoin(answer.url.path, answer.headers["location"]) == view(answer).links.self
    return view(answer)


def until(bench: Bench, job_id: str, *states: str) -> JobView:
    end = time.monotonic() + PATIENCE_S
    while (found := view(bench.send("GET", f"/v1/jobs/{job_id}"))).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def files(bench: Bench) -> list[str]:
    return [path.name for path in (Path(bench.service.settings.state) / "spool").iterdir()]


def deliveries(bench: Bench) -> list[dict[str, Any]]:
    page = bench.jobs.queue.page(kind="deliver")
    return [json.loads(json.loads(job.payload)["body"]) for job in page]
