"""The port, once more and as plainly as can be: what the adapters are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from glagol.core.errors import InputError
from glagol.jobs.queue import (
    ENDED,
    Claim,
    Job,
    LeaseLostError,
    NewJob,
    State,
    Trouble,
)
from glagol.jobs.states import COUNTED, Depth
from glagol.jobs.validation import EXHAUSTED


class Entry:
    """A job, what it was put as, and the end of its lease."""

    def __init__(self, new: NewJob, job: Job) -> None:
        self.new, self.job = new, job
        self.until_s = 0.0
        self.result: bytes | None = None


class Model:
    """A queue in memory; insertion order is age."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.entries: dict[str, Entry] = {}

    def _insert(self, jobs: Sequence[NewJob]) -> None:
        now = self._clock()
        for new in jobs:
            if new.id not in self.entries:
                job = Job(
                    id=new.id, kind=new.kind, payload=new.payload, owner=new.owner,
                    state="queued", attempt=0, attempts_max=new.attempts_max, created_s=now,
                    changed_s=now, due_s=now + new.delay_s, expires_s=0.0, done=0.0, total=None,
                    cancelling=False, trouble=None, version=1,
                )  # fmt: skip
                self.entries[new.id] = Entry(new, job)

    def _change(self, entry: Entry, **fields: object) -> Job:
        entry.job = msgspec.structs.replace(
            entry.job, changed_s=self._clock(), version=entry.job.version + 1, **fields
        )
        return entry.job

    def _end(self, entry: Entry, state: State, trouble: Trouble | None = None) -> Job:
        expires_s = self._clock() + entry.new.ttl_s
        return self._change(
            entry, state=state, trouble=trouble, expires_s=expires_s, cancelling=False
        )

    def _bequeath(self, entry: Entry) -> None:
        if entry.new.heir_kind:
            self._insert(
                [
                    NewJob(
                        id=f"{entry.job.id}-{entry.job.attempt}",
                        kind=entry.new.heir_kind,
                        payload=entry.job.id.encode(),
                        owner=entry.job.owner,
                        ttl_s=entry.new.ttl_s,
                    )
                ]
            )

    def _orphan(self, entry: Entry, trouble: Trouble | None = None) -> Job:
        job = self._end(entry, "cancelled", trouble)
        self._bequeath(entry)
        return job

    def _known(self, job_id: str) -> Entry:
        if job_id not in self.entries:
            raise InputError("job_unknown", job_id, "")
        return self.entries[job_id]

    def _held(self, claim: Claim) -> Entry:
        entry = self.entries.get(claim.job.id)
        if entry is None or entry.job.state != "running" or entry.job.attempt != claim.job.attempt:
            raise LeaseLostError(claim.job.id)
        return entry

    def put(self, new: NewJob) -> Job:
        for entry in self.entries.values():
            key = (entry.new.owner, entry.new.idempotency_key)
            if new.idempotency_key and key == (new.owner, new.idempotency_key):
                if entry.new.request_sha256 != new.request_sha256:
                    raise InputError("idempotency_conflict", "", "")
                return entry.job
        self._insert([new])
        return self.entries[new.id].job

    def _ready(self, entry: Entry, kinds: Sequence[str]) -> bool:
        job, now = entry.job, self._clock()
        if job.kind not in kinds or job.state in ENDED:
            return False
        return now >= (job.due_s if job.state == "queued" else entry.until_s)

    def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> Claim | None:
        while ready := [e for e in self.entries.values() if self._ready(e, kinds)]:
            entry = min(ready, key=lambda e: e.job.due_s)
            if entry.job.state == "running" and entry.job.cancelling:
                self._orphan(entry)
            elif entry.job.state == "running" and entry.job.attempt >= entry.job.attempts_max:
                self._end(entry, "failed", EXHAUSTED)
                self._bequeath(entry)
            else:
                entry.until_s = self._clock() + lease_s
                attempt = entry.job.attempt + 1
                job = self._change(entry, state="running", attempt=attempt, done=0.0, total=None)
                return Claim(job, worker, lease_s)
        return None

    def renew(self, claim: Claim) -> bool:
        entry = self._held(claim)
        entry.until_s = self._clock() + claim.lease_s
        return not entry.job.cancelling

    def progress(self, claim: Claim, done: float, total: float | None) -> bool:
        going = self.renew(claim)
        self._change(self._held(claim), done=done, total=total)
        return going

    def finish(self, claim: Claim, result: bytes, follow: Sequence[NewJob] = ()) -> Job:
        entry = self._held(claim)
        entry.result = result
        job = self._end(entry, "done")
        self._insert(follow)
        return job

    def fail(
        self,
        claim: Claim,
        trouble: Trouble,
        retry_in_s: float | None,
        follow: Sequence[NewJob] = (),
    ) -> Job:
        entry = self._held(claim)
        if retry_in_s is None or entry.job.attempt >= entry.job.attempts_max:
            job = self._end(entry, "failed", trouble)
            self._insert(follow)
            return job
        if entry.job.cancelling:
            return self._orphan(entry, trouble)
        due_s = self._clock() + retry_in_s
        return self._change(entry, state="queued", trouble=trouble, due_s=due_s)

    def stop(self, claim: Claim, follow: Sequence[NewJob] = ()) -> Job:
        job = self._end(self._held(claim), "cancelled")
        self._insert(follow)
        return job

    def release(self, claim: Claim, delay_s: float = 0.0) -> Job:
        entry = self._held(claim)
        if entry.job.cancelling:
            return self._orphan(entry)
        attempts_max = entry.job.attempts_max + 1
        due_s = self._clock() + delay_s
        return self._change(entry, state="queued", due_s=due_s, attempts_max=attempts_max)

    def cancel(self, job_id: str, follow: Sequence[NewJob] = ()) -> Job:
        entry = self._known(job_id)
        if entry.job.state == "queued":
            job = self._end(entry, "cancelled")
            self._insert(follow)
            return job
        if entry.job.state == "running" and not entry.job.cancelling:
            return self._change(entry, cancelling=True)
        return entry.job

    def replay(self, job_id: str) -> Job:
        entry = self._known(job_id)
        if entry.job.state not in {"failed", "cancelled"}:
            raise InputError("job_state", "", "")
        attempts_max = entry.job.attempt + entry.new.attempts_max
        return self._change(
            entry,
            state="queued",
            due_s=self._clock(),
            expires_s=0.0,
            attempts_max=attempts_max,
        )

    def get(self, job_id: str) -> Job:
        return self._known(job_id).job

    def result(self, job_id: str) -> bytes | None:
        return self.entries[job_id].result if job_id in self.entries else None

    def page(
        self, *, kind: str, state: State | None = None, owner: str | None = None,
        before: str = "", limit: int = 50,
    ) -> list[Job]:  # fmt: skip
        jobs = [entry.job for entry in self.entries.values()]
        if before:
            last = self._known(before).job
            if last.kind != kind or owner not in {None, last.owner}:
                raise InputError("job_unknown", before, "")
            jobs = jobs[: jobs.index(last)]
        found = [
            job
            for job in reversed(jobs)
            if job.kind == kind and state in {None, job.state} and owner in {None, job.owner}
        ]
        return found[:limit]

    def ahead(self, job: Job) -> int:
        mine = self.entries[job.id].job if job.id in self.entries else job
        queued = [e.job for e in self.entries.values() if e.job.state == "queued"]
        if mine not in queued:
            return 0
        return sum(j.kind == mine.kind and j.due_s < mine.due_s for j in queued)

    def depth(self, kind: str) -> Depth:
        states = [e.job.state for e in self.entries.values() if e.job.kind == kind]
        return {state: states.count(state) for state in COUNTED}

    def forget(self, job_id: str) -> Job:
        job = self._known(job_id).job
        del self.entries[job_id]
        return job

    def set_aside(self) -> int:
        return 0

    def sweep(self) -> list[Job]:
        gone = [
            entry.job
            for entry in self.entries.values()
            if entry.job.state in ENDED and entry.job.expires_s <= self._clock()
        ]
        for job in gone:
            del self.entries[job.id]
        return gone
