"""Queues in real time: waiting, and many threads and processes at work on the same jobs."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from glagol.core.errors import InputError
from glagol.jobs.queue import NewJob
from jobs.adapters import Way
from jobs.hands import notes, work

LEASE_S = 10.0
LONG_S = 600.0  # a lease that no busy machine lets run out


def new(job_id: str = "one", kind: str = "read", **options: Any) -> NewJob:
    """A job whose payload says its name."""
    return NewJob(id=job_id, kind=kind, payload=job_id.encode(), **options)


def test_waiting_ends_when_something_is_put(way: Way) -> None:
    """By this process at once, and by another instance soon; with nothing, after the time."""
    queue, other = way.open(), way.open()
    began = time.monotonic()
    queue.wait(["read"], 0.3)
    assert time.monotonic() - began >= 0.29
    for place in (queue, other):
        putting = threading.Timer(0.2, place.put, [new(f"{id(place)}")])
        putting.start()
        queue.wait(["read", "send"], 60.0)  # the test's own time limit would end it
        assert queue.claim("w", ["read"], LEASE_S) is not None
        putting.join()
    queue.close()
    other.close()


def test_waiting_ends_when_a_delay_or_a_lease_does(way: Way) -> None:
    """In real time, put before or while it waits."""
    queue = way.open()
    threading.Timer(0.1, queue.put, [new(delay_s=0.3)]).start()
    queue.wait(["read"], 60.0)
    assert queue.claim("w", ["read"], 0.2) is not None
    queue.wait(["read"], 60.0)
    again = queue.claim("w", ["read"], LEASE_S)
    assert again is not None
    assert again.job.attempt == 2
    queue.close()


def test_what_was_put_is_there_for_every_process_and_after_closing(way: Way) -> None:
    """Another instance sees the same job; ping answers; nothing to warn of."""
    queue = way.open()
    job = queue.put(new())
    queue.ping()
    assert queue.caveat() == ""
    queue.close()
    again = way.open()
    assert again.get("one") == job
    again.close()


@pytest.mark.parametrize("hands", ["threads", "processes"])
def test_each_job_is_done_once_by_many_hands(way: Way, tmp_path: Path, hands: str) -> None:
    """While four put, four work: every job is claimed and finished under one attempt number."""
    path, jobs = tmp_path / "notes", 120
    spawn = multiprocessing.get_context("spawn").Process if hands == "processes" else None
    workers = [
        (spawn or threading.Thread)(
            target=work,
            args=(way, path),
            kwargs={"lease_s": LONG_S, "work_s": 0.002, "seed": seed},
        )
        for seed in range(2 if spawn else 4)
    ]
    for worker in workers:
        worker.start()
    queue = way.open()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: queue.put(new(f"job{n}")), range(jobs)))
    while queue.depth("read")["queued"] or queue.depth("read")["running"]:
        time.sleep(0.02)
    queue.put(new("stop", "stop"))
    for worker in workers:
        worker.join()
    seen = Counter((n.word, n.job, n.attempt) for n in notes(path))
    expected = [(word, f"job{n}", 1) for n in range(jobs) for word in ("claim", "done")]
    assert seen == Counter(expected)
    assert queue.result("job7") == b"job7 1"
    queue.close()


def test_one_key_makes_one_job_in_any_order(way: Way) -> None:
    """Sixteen at once with the same key: one job, and one answer for all equal requests."""
    queue = way.open()

    def put(number: int) -> str:
        sha256 = "same" if number % 4 else "other"
        try:
            return queue.put(new(f"job{number}", idempotency_key="k", request_sha256=sha256)).id
        except InputError as error:
            return error.code

    with ThreadPoolExecutor(16) as pool:
        answers = Counter(pool.map(put, range(16)))
    [job] = queue.page(kind="read")
    assert set(answers) == {job.id, "idempotency_conflict"}
    assert answers[job.id] in {4, 12}
    queue.close()
