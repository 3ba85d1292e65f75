"""Random histories on each adapter and on a plain model in memory: every answer is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from glagol.core.errors import GlagolError
from glagol.jobs.queue import Claim, LeaseLostError, NewJob, Trouble
from jobs.adapters import Turned, turned_redis, turned_sqlite
from jobs.model import Model
from jobs.redis_server import MEMORY

KINDS, OWNERS, KEYS = ("read", "send"), ("", "anna", "o"), ("", "", "k1", "k2")
TROUBLE = Trouble("host_io", "the disk was full", "free space")
PICK = st.integers(0, 1 << 16)


class Histories(RuleBasedStateMachine):
    """Each rule does one thing to both, a second later."""

    make: Callable[[], Turned]

    def __init__(self) -> None:
        super().__init__()
        self.turned = type(self).make()
        self.model = Model(self.turned.now)
        self.claims: list[Claim] = []
        self.ids: list[str] = ["unknown"]
        self.step = 0

    def teardown(self) -> None:
        self.turned.queue.close()

    def both(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of both; the answers, or errors, are equal."""
        self.step += 1
        self.turned.advance(1.0)
        answers = []
        for queue in (self.turned.queue, self.model):
            try:
                answers.append(getattr(queue, name)(*arguments, **options))
            except LeaseLostError:
                answers.append("lease lost")
            except GlagolError as error:
                answers.append(error.code)
        assert answers[0] == answers[1], f"{name}{arguments}"
        return answers[0]

    def new(self, kind: str, **options: Any) -> NewJob:
        """A job of a new name; names grow with age."""
        job_id = f"job-{len(self.ids):04}"
        self.ids.append(job_id)
        return NewJob(id=job_id, kind=kind, payload=job_id.encode() * 3, **options)

    def later(self, seconds: int) -> float:
        """A delay that ends at a moment of its own: between equals the order is not promised."""
        return seconds + self.step % 64 / 64 if seconds else 0.0

    def followers(self, count: int) -> Sequence[NewJob]:
        """Jobs that follow; the first may be one that is there already."""
        made = [self.new("send", ttl_s=5.0) for _ in range(count)]
        if count == 2 and self.ids[1] not in self.model.entries:
            del made[0]  # it was forgotten, and of two new ones the order is not promised
        elif count == 2:
            made[0] = NewJob(id=self.ids[1], kind="send", payload=b"other")
        return made

    @initialize(kind=st.sampled_from(KINDS))
    def begin(self, kind: str) -> None:
        """Nothing is interesting without a job."""
        self.both("put", self.new(kind, heir_kind="send"))

    @rule(
        kind=st.sampled_from(KINDS),
        owner=st.sampled_from(OWNERS),
        key=st.sampled_from(KEYS),
        sha256=st.sampled_from(("a", "b")),
        delay_s=st.sampled_from((0, 0, 0, 7)),
        attempts_max=st.integers(1, 3),
        heir_kind=st.sampled_from(("", "send")),
    )
    def put(self, delay_s: int, key: str, sha256: str, **options: Any) -> None:
        if self.model.depth(options["kind"])["queued"] > 2:
            return  # few jobs with long lives meet more of what can happen
        new = self.new(
            delay_s=self.later(delay_s),
            idempotency_key=key,
            request_sha256=sha256,
            ttl_s=float(options["attempts_max"] * 20),
            **options,
        )
        self.both("put", new)

    @rule(pick=PICK)
    def put_again(self, pick: int) -> None:
        """The answer to a put was lost, so it is repeated."""
        self.both("put", NewJob(id=self.ids[1 + pick % (len(self.ids) - 1)], kind="x", payload=b""))

    @rule(kinds=st.sampled_from((("read",), ("send",), KINDS, KINDS)), lease_s=st.integers(2, 20))
    def claim(self, kinds: Sequence[str], lease_s: int) -> None:
        found = self.both("claim", "worker", kinds, float(lease_s))
        if found is not None:
            self.claims.append(found)

    @rule(late_s=st.sampled_from((0, 30)))
    def overtake(self, late_s: int) -> None:
        """The last worker is slow or dead; another worker claims."""
        self.turned.advance(float(late_s))
        self.claim(KINDS, 20)

    def some_claim(self, pick: int) -> Claim | None:
        """A claim of the past, more often a late one; it may be overtaken or over."""
        if not self.claims:
            return None
        return self.claims[-1 - pick % min(len(self.claims), 3 if pick % 2 else 99)]

    @rule(pick=PICK, how=st.sampled_from(("renew", "progress", "release")))
    def keep(self, pick: int, how: str) -> None:
        if claim := self.some_claim(pick):
            self.both(how, claim, *((0.25 * (pick % 9), 9.5) if how == "progress" else ()))

    @rule(pick=PICK, follow=st.integers(0, 2), how=st.sampled_from(("finish", "stop")))
    def end(self, pick: int, follow: int, how: str) -> None:
        if claim := self.some_claim(pick):
            result = (f"result {pick}".encode(),) if how == "finish" else ()
            self.both(how, claim, *result, self.followers(follow))
            self.both("result", claim.job.id)

    @rule(pick=PICK, follow=st.integers(0, 2), retry_in_s=st.sampled_from((None, 0, 0, 4)))
    def fail(self, pick: int, follow: int, retry_in_s: int | None) -> None:
        if claim := self.some_claim(pick):
            retry = None if retry_in_s is None else self.later(retry_in_s)
            self.both("fail", claim, TROUBLE, retry, self.followers(follow))

    def some_id(self, pick: int) -> str:
        """Of a job that ran, more often than of one that waits or never was."""
        if pick % 3 and (claim := self.some_claim(pick)):
            return claim.job.id
        return self.ids[pick % len(self.ids)]

    @rule(pick=PICK, follow=st.integers(0, 1))
    def cancel(self, pick: int, follow: int) -> None:
        self.both("cancel", self.some_id(pick), self.followers(follow))

    @rule(pick=PICK, chance=st.integers(0, 3))
    def forget(self, pick: int, chance: int) -> None:
        if not chance:
            self.both("forget", self.some_id(pick))

    @rule(pick=PICK)
    def replay(self, pick: int) -> None:
        self.both("replay", self.some_id(pick))

    @rule(seconds=st.sampled_from((0, 3, 40)))
    def sweep(self, seconds: int) -> None:
        self.turned.advance(float(seconds))
        gone = [queue.sweep() for queue in (self.turned.queue, self.model)]
        assert sorted(gone[0], key=lambda j: j.id) == sorted(gone[1], key=lambda j: j.id)

    @rule(
        kind=st.sampled_from(KINDS),
        state=st.sampled_from((None, "queued", "running", "failed", "cancelled", "done")),
        owner=st.sampled_from((None, *OWNERS)),
        before=PICK,
        limit=st.integers(1, 4),
    )
    def page(self, before: int, **options: Any) -> None:
        name = self.ids[before % len(self.ids)] if before % 3 else ""
        self.both("page", before=name, **options)

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        if self.step % 4:
            return
        real = self.turned.queue
        for job_id, entry in self.model.entries.items():
            assert real.get(job_id) == entry.job
            assert real.ahead(entry.job) == self.model.ahead(entry.job)
        for kind in KINDS:
            assert real.depth(kind) == self.model.depth(kind)


@pytest.mark.parametrize("adapter", ["sqlite", "redis"])
def test_any_history_is_the_same_on_the_adapter_and_on_the_model(
    adapter: str, request: pytest.FixtureRequest
) -> None:
    """Fencing, leases, order, follow-ups, idempotency and expiry in any combination."""
    server = request.getfixturevalue("redis_server") if adapter == "redis" else None
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:

        class Machine(Histories):
            make = staticmethod(
                lambda: turned_redis(server) if server else turned_sqlite(Path(name))
            )

        options = settings(
            max_examples=40,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # add Phase.shrink to understand a failure; it takes minutes
            suppress_health_check=list(HealthCheck),
        )
        run_machine(Machine, settings=options)
