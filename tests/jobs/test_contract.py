"""Every promise of the port, on every adapter, over the real thing.

The clock stands still until a test turns it. What any mixture of these does is compared with a
model in `test_model.py`; real time and many hands at once are in `test_hands.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from glagol.core.errors import InputError
from glagol.jobs.queue import Claim, Job, LeaseLostError, NewJob, Queue, Trouble
from glagol.jobs.validation import PAYLOAD_BYTES_MAX
from jobs.adapters import Turned

TROUBLE = Trouble("host_io", "the disk was full", "free space")
LEASE_S = 10.0


def new(job_id: str = "one", kind: str = "read", **options: Any) -> NewJob:
    """A job whose payload says its name."""
    return NewJob(id=job_id, kind=kind, payload=job_id.encode(), **options)


def claimed(queue: Queue, kind: str = "read", worker: str = "w") -> Claim:
    """The claim that must be there."""
    claim = queue.claim(worker, [kind], LEASE_S)
    assert claim is not None
    return claim


def refused(code: str, call: Callable[[], object]) -> None:
    """It raises the caller's error of this code."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.code == code


def test_a_job_comes_back_as_it_was_put(turned: Turned) -> None:
    """Every byte of the payload; times by the queue's clock; nothing ran yet."""
    payload = bytes(range(256)) * 3
    job = turned.queue.put(
        NewJob(id="A_b-9", kind="read", payload=payload, owner="Анна:x", attempts_max=2)
    )
    now = turned.now()
    assert job == Job(
        id="A_b-9", kind="read", payload=payload, owner="Анна:x", state="queued", attempt=0,
        attempts_max=2, created_s=now, changed_s=now, due_s=now, expires_s=0.0, done=0.0,
        total=None, cancelling=False, trouble=None, version=1,
    )  # fmt: skip
    assert turned.queue.get("A_b-9") == job


def test_the_largest_payload_and_a_large_result_pass(turned: Turned) -> None:
    """1 MiB in, 8 MiB out; one byte more in is a mistake of ours."""
    big = b"\x00\xff" * (PAYLOAD_BYTES_MAX // 2)
    turned.queue.put(NewJob(id="big", kind="read", payload=big))
    claim = claimed(turned.queue)
    assert claim.job.payload == big
    turned.queue.finish(claim, big * 8)
    assert turned.queue.result("big") == big * 8
    with pytest.raises(AssertionError):
        turned.queue.put(NewJob(id="more", kind="read", payload=big + b"x"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a" * 65},
        {"id": "a:b"},
        {"kind": "a b"},
        {"attempts_max": 0},
        {"delay_s": -1.0},
    ],
)
def test_what_breaks_the_bounds_is_not_stored(turned: Turned, wrong: dict[str, object]) -> None:
    """Not by put, and not as a follower, and then nothing else is stored either."""
    job: dict[str, Any] = {"id": "x", "kind": "read", "payload": b""}
    bad = NewJob(**(job | wrong))
    with pytest.raises(AssertionError):
        turned.queue.put(bad)
    turned.queue.put(new())
    claim = claimed(turned.queue)
    for follower in (bad, new("y", idempotency_key="k")):
        with pytest.raises(AssertionError):
            turned.queue.finish(claim, b"", [follower])
    assert turned.queue.get("one").state == "running"


def test_putting_an_id_again_gives_the_job_that_is_there(turned: Turned) -> None:
    """So a put whose answer was lost can be repeated, even after the job ended."""
    first = turned.queue.put(new())
    assert turned.queue.put(NewJob(id="one", kind="other", payload=b"other")) == first
    done = turned.queue.finish(claimed(turned.queue), b"r")
    assert turned.queue.put(new()) == done
    assert turned.queue.depth("read") == {"queued": 0, "running": 0, "failed": 0}


def test_an_idempotency_key_stands_for_one_request(turned: Turned) -> None:
    """A replay gives the first job; another request is refused; owners do not meet."""
    key = {"idempotency_key": "k", "owner": "anna"}
    first = turned.queue.put(new("one", request_sha256="a", **key))
    assert turned.queue.put(new("two", request_sha256="a", **key)) == first
    refused("idempotency_conflict", lambda: turned.queue.put(new("two", request_sha256="b", **key)))
    refused("job_unknown", lambda: turned.queue.get("two"))
    other = turned.queue.put(new("two", idempotency_key="k", owner="boris"))
    assert other.id == "two"
    turned.queue.finish(claimed(turned.queue), b"")
    assert turned.queue.put(new("three", request_sha256="a", **key)).state == "done"


def test_an_idempotency_key_is_free_once_its_job_is_forgotten(turned: Turned) -> None:
    """It lives as long as the job, to the sweep."""
    turned.queue.put(new("one", request_sha256="a", idempotency_key="k", ttl_s=60.0))
    turned.queue.cancel("one")
    turned.advance(60.0)
    assert [job.id for job in turned.queue.sweep()] == ["one"]
    assert turned.queue.put(new("two", request_sha256="b", idempotency_key="k")).id == "two"


def test_the_oldest_due_job_of_the_kinds_comes_first(turned: Turned) -> None:
    """By the time it became due, over all kinds asked for, and no other kind."""
    turned.queue.put(new("late", delay_s=5.0))
    turned.advance(1.0)
    turned.queue.put(new("first", "send"))
    turned.advance(1.0)
    turned.queue.put(new("second"))
    turned.queue.put(new("strange", "other"))
    turned.advance(4.0)
    turned.queue.put(new("last", "send"))
    order = []
    while claim := turned.queue.claim("w", ["read", "send"], LEASE_S):
        order.append(claim.job.id)
    assert order == ["first", "second", "late", "last"]


def test_a_delayed_job_waits_until_it_is_due(turned: Turned) -> None:
    """Not a moment before, and then at once."""
    turned.queue.put(new(delay_s=5.0))
    turned.advance(4.75)
    assert turned.queue.claim("w", ["read"], LEASE_S) is None
    turned.advance(0.25)
    assert claimed(turned.queue).job.attempt == 1


def test_a_renewed_lease_is_not_given_away(turned: Turned) -> None:
    """By renew and by progress, however often; each begins it anew."""
    turned.queue.put(new())
    claim = claimed(turned.queue)
    for beat in range(6):
        turned.advance(9.0)
        assert turned.queue.renew(claim) if beat % 2 else turned.queue.progress(claim, beat, None)
        assert turned.queue.claim("other", ["read"], LEASE_S) is None
    assert turned.queue.get("one").done == 4.0


def test_a_lease_that_ran_out_gives_the_job_away_under_the_next_attempt(turned: Turned) -> None:
    """And before what was put later."""
    turned.queue.put(new())
    claimed(turned.queue)
    turned.advance(1.0)
    turned.queue.put(new("two"))
    turned.advance(9.0)
    again = claimed(turned.queue, worker="other")
    assert (again.job.id, again.job.attempt, again.worker) == ("one", 2, "other")


@pytest.mark.parametrize("after", ["overtaken", "done", "queued", "replayed", "forgotten"])
def test_a_claim_that_is_over_can_write_nothing(turned: Turned, after: str) -> None:
    """Fenced by its attempt, whatever became of the job; followers are not stored either."""
    queue = turned.queue
    queue.put(new(ttl_s=1.0))
    stale = claimed(queue)
    turned.advance(LEASE_S)
    if after == "overtaken":
        queue.progress(claimed(queue, worker="other"), 7.0, 9.0)
    elif after == "queued":
        queue.release(claimed(queue))
    else:
        queue.fail(claimed(queue), TROUBLE, None)
    if after == "replayed":
        queue.replay("one")
        claimed(queue)
    if after == "forgotten":
        turned.advance(1.0)
        queue.sweep()
    before = queue.page(kind="read")
    for write in (
        lambda: queue.renew(stale),
        lambda: queue.progress(stale, 1.0, 2.0),
        lambda: queue.finish(stale, b"stale", [new("follower")]),
        lambda: queue.fail(stale, TROUBLE, 0.0, [new("follower")]),
        lambda: queue.fail(stale, TROUBLE, None, [new("follower")]),
        lambda: queue.stop(stale, [new("follower")]),
        lambda: queue.release(stale),
    ):
        with pytest.raises(LeaseLostError):
            write()
    assert queue.page(kind="read") == before
    assert queue.result("one") is None


def test_finishing_stores_result_and_followers_together(turned: Turned) -> None:
    """A follower whose id is there already is left as it is; the others are put."""
    queue = turned.queue
    queue.put(new("there", "send"))
    queue.put(new(ttl_s=60.0))
    followers = [new("fresh", "send"), NewJob(id="there", kind="send", payload=b"other")]
    job = queue.finish(claimed(queue), b"text", followers)
    assert (job.state, job.expires_s, job.trouble) == ("done", turned.now() + 60.0, None)
    assert queue.result("one") == b"text"
    assert queue.depth("send") == {"queued": 2, "running": 0, "failed": 0}
    assert queue.get("there").payload == b"there"


def test_a_failure_is_tried_again_until_the_attempts_are_used_up(turned: Turned) -> None:
    """With the delay asked for; followers only with the failure that is final."""
    queue = turned.queue
    queue.put(new(attempts_max=2))
    job = queue.fail(claimed(queue), TROUBLE, 5.0, [new("follower", "send")])
    assert (job.state, job.trouble, job.due_s) == ("queued", TROUBLE, turned.now() + 5.0)
    assert queue.claim("w", ["read"], LEASE_S) is None
    turned.advance(5.0)
    job = queue.fail(claimed(queue), TROUBLE, 5.0, [new("follower", "send")])
    assert (job.state, job.attempt, job.trouble) == ("failed", 2, TROUBLE)
    assert queue.depth("send") == {"queued": 1, "running": 0, "failed": 0}
    assert queue.depth("read") == {"queued": 0, "running": 0, "failed": 1}


def test_a_job_whose_workers_all_died_is_a_dead_letter_with_a_follow_up(turned: Turned) -> None:
    """It is failed and listed, its follow-up job is put with it, and no worker gets it again."""
    queue = turned.queue
    queue.put(new(attempts_max=1, heir_kind="notify", owner="anna"))
    claimed(queue)
    turned.advance(LEASE_S)
    assert queue.claim("w", ["read"], LEASE_S) is None
    [dead] = queue.page(kind="read", state="failed")
    assert dead.trouble is not None
    assert (dead.trouble.code, dead.attempt) == ("attempts_exhausted", 1)
    follow_up = claimed(queue, "notify").job
    assert (follow_up.id, follow_up.payload, follow_up.owner) == ("one-1", b"one", "anna")


def test_a_released_job_loses_no_attempt(turned: Turned) -> None:
    """Due at once, for as many attempts as before; the number that fences still grows."""
    queue = turned.queue
    queue.put(new(attempts_max=1))
    for attempt in (1, 2, 3):
        claim = claimed(queue)
        assert claim.job.attempt == attempt
        assert queue.release(claim).state == "queued"
    assert queue.fail(claimed(queue), TROUBLE, 0.0).state == "failed"


def test_cancelling_a_queued_job_ends_it(turned: Turned) -> None:
    """With its followers; it is never claimed; a second cancel changes nothing."""
    queue = turned.queue
    queue.put(new())
    queue.put(new("delayed", delay_s=5.0))
    job = queue.cancel("one", [new("follower", "send")])
    assert job.state == "cancelled"
    assert queue.cancel("delayed").state == "cancelled"
    turned.advance(5.0)
    assert queue.cancel("one", [new("second", "send")]) == job
    assert queue.claim("w", ["read"], LEASE_S) is None
    assert queue.depth("send") == {"queued": 1, "running": 0, "failed": 0}
    refused("job_unknown", lambda: queue.cancel("unknown"))


def test_a_running_job_is_asked_to_stop(turned: Turned) -> None:
    """Renewals say so; the claim that obeys stores the followers; until then it may also finish."""
    queue = turned.queue
    for name in ("one", "two"):
        queue.put(new(name))
    obeys, finishes = claimed(queue), claimed(queue)
    for claim in (obeys, finishes):
        assert queue.cancel(claim.job.id).cancelling
        assert not queue.renew(claim)
        assert not queue.progress(claim, 1.0, None)
    assert queue.stop(obeys, [new("follower", "send")]).state == "cancelled"
    assert queue.depth("send") == {"queued": 1, "running": 0, "failed": 0}
    assert queue.finish(finishes, b"").state == "done"


def test_a_job_given_back_may_be_put_off(turned: Turned) -> None:
    """No worker gets it before, and no attempt is lost by it."""
    queue = turned.queue
    queue.put(new())
    job = queue.release(claimed(queue), 5.0)
    assert (job.state, job.due_s) == ("queued", turned.now() + 5.0)
    assert job.attempts_max - job.attempt == new().attempts_max
    turned.advance(4.9)
    assert queue.claim("w", ["read"], LEASE_S) is None
    turned.advance(0.1)
    assert claimed(queue).job.attempt == 2


@pytest.mark.parametrize("how", ["died", "failed", "released"])
def test_a_cancelled_job_is_not_tried_again(turned: Turned, how: str) -> None:
    """Whether its worker died, failed or released it: it is cancelled, its follow-up is put."""
    queue = turned.queue
    queue.put(new(heir_kind="notify"))
    claim = claimed(queue)
    queue.cancel("one")
    if how == "died":
        turned.advance(LEASE_S)
        assert queue.claim("w", ["read"], LEASE_S) is None
    else:
        _ = queue.fail(claim, TROUBLE, 0.0) if how == "failed" else queue.release(claim)
    job = queue.get("one")
    assert (job.state, job.cancelling) == ("cancelled", False)
    assert claimed(queue, "notify").job.payload == b"one"


def test_a_replay_gives_the_first_number_of_attempts_anew(turned: Turned) -> None:
    """The attempt number continues, the expiry is off, and other states are refused."""
    queue = turned.queue
    queue.put(new(attempts_max=2, ttl_s=60.0))
    refused("job_state", lambda: queue.replay("one"))
    queue.fail(claimed(queue), TROUBLE, None)
    job = queue.replay("one")
    assert (job.state, job.attempt, job.attempts_max, job.expires_s) == ("queued", 1, 3, 0.0)
    turned.advance(99.0)
    assert queue.sweep() == []
    assert queue.fail(claimed(queue), TROUBLE, 0.0).state == "queued"
    assert queue.fail(claimed(queue), TROUBLE, 0.0).state == "failed"
    refused("job_unknown", lambda: queue.replay("unknown"))


def test_progress_is_of_this_attempt(turned: Turned) -> None:
    """Seen by all at once, each change a version; the next attempt begins anew."""
    queue = turned.queue
    queue.put(new())
    claim = claimed(queue)
    queue.progress(claim, 12.5, 60.0)
    job = queue.get("one")
    assert (job.done, job.total, job.version) == (12.5, 60.0, claim.job.version + 1)
    queue.renew(claim)
    assert queue.get("one").version == job.version
    turned.advance(LEASE_S)
    again = claimed(queue).job
    assert (again.done, again.total) == (0.0, None)


def test_pages_go_back_in_time(turned: Turned) -> None:
    """Newest first, each job once, by state and by owner; a lost place is an error."""
    queue = turned.queue
    for number in range(7):
        queue.put(new(f"job{number}", owner="anna" if number % 2 else "boris"))
    names, before = [], ""
    while page := queue.page(kind="read", before=before, limit=3):
        names += [job.id for job in page]
        before = page[-1].id
    assert names == [f"job{number}" for number in reversed(range(7))]
    queue.cancel("job3")
    assert [job.id for job in queue.page(kind="read", owner="anna")] == ["job5", "job3", "job1"]
    assert [j.id for j in queue.page(kind="read", owner="anna", state="queued")] == ["job5", "job1"]
    assert queue.page(kind="send") == []
    wrong: tuple[dict[str, Any], ...] = ({"before": "unknown"}, {"before": "job0", "owner": "anna"})
    for options in wrong:
        refused("job_unknown", partial(queue.page, kind="read", **options))
    refused("job_unknown", lambda: queue.page(kind="send", before="job0"))


def test_ahead_counts_what_is_due_before(turned: Turned) -> None:
    """Of its kind, waiting; a job that does not wait has no job ahead."""
    queue = turned.queue
    first, second = queue.put(new("first")), queue.put(new("second", delay_s=5.0))
    turned.advance(1.0)
    third = queue.put(new("third"))
    assert [queue.ahead(job) for job in (first, second, third)] == [0, 2, 1]
    claimed(queue)
    assert [queue.ahead(job) for job in (first, second, third)] == [0, 1, 0]


def test_sweeping_forgets_what_is_over_and_nothing_else(turned: Turned) -> None:
    """Job, result and place in lists, at its time; at most 1,000 at once."""
    queue = turned.queue
    queue.put(new("waits", ttl_s=0.0))
    queue.put(new("kept", ttl_s=60.0))
    queue.cancel("kept")
    for number in range(1003):
        queue.put(new(f"n{number}", "many", ttl_s=59.0))
        queue.cancel(f"n{number}")
    turned.advance(59.0)
    gone = [queue.sweep() for _ in range(3)]
    assert [len(jobs) for jobs in gone] == [1000, 3, 0]
    assert queue.page(kind="many") == []
    refused("job_unknown", lambda: queue.get("n7"))
    assert {job.id for job in queue.page(kind="read")} == {"waits", "kept"}
