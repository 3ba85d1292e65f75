"""A job that is forgotten, on every adapter: nothing of it is left, and nothing else goes."""

from __future__ import annotations

import pytest

from glagol.jobs.queue import LeaseLostError, Trouble
from jobs.adapters import Turned
from jobs.test_contract import LEASE_S, claimed, new, refused


@pytest.mark.parametrize("state", ["queued", "delayed", "running", "done", "failed"])
def test_a_job_that_is_forgotten_leaves_nothing(turned: Turned, state: str) -> None:
    """In any state: not listed, not counted, not claimed, its key and its name are free."""
    queue = turned.queue
    delay_s = 5.0 if state == "delayed" else 0.0
    queue.put(new(idempotency_key="k", request_sha256="a", delay_s=delay_s))
    queue.put(new("other", "send"))
    claim = None if delay_s or state == "queued" else claimed(queue)
    if claim is not None and state == "done":
        queue.finish(claim, b"text")
    elif claim is not None and state == "failed":
        queue.fail(claim, Trouble("host_io", "the disk was full", "free space"), None)
    before = queue.get("one")
    assert queue.forget("one") == before
    refused("job_unknown", lambda: queue.get("one"))
    refused("job_unknown", lambda: queue.forget("one"))
    assert queue.result("one") is None
    assert queue.page(kind="read") == []
    assert set(queue.depth("read").values()) == {0}
    if claim is not None:
        with pytest.raises(LeaseLostError):
            queue.finish(claim, b"text")
    turned.advance(1e6)
    assert queue.claim("w", ["read"], LEASE_S) is None
    assert queue.sweep() == []
    again = queue.put(new(idempotency_key="k", request_sha256="b"))
    assert (again.state, again.attempt) == ("queued", 0)
    assert [job.id for job in queue.page(kind="send")] == ["other"]
