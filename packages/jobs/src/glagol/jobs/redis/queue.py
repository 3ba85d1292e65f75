"""The queue on Redis Streams: any number of processes on any number of machines.

A stream per kind holds the jobs that are due, its consumer group records which worker holds which
job, one sorted set holds delayed jobs, another the leases. Every transition is one run of
`queue.lua`, which uses the server's TIME and changes the job's state, its stream entry (XACK and
XDEL, or XCLAIM for a lease) and its follow-up jobs in one transaction. All keys share one hash tag,
so that they lie on one node of a cluster.

Required of the server: Redis 7.0 or newer with `appendonly yes`, `appendfsync always` and
`maxmemory-policy noeviction`. With `everysec`, its default, a crash can lose the last two seconds
of acknowledged writes: while a slow sync runs, Redis answers before it writes. After a
failover, a replica lacks writes that had not reached it. `caveat` reports unmet requirements.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from glagol.core import journal
from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.jobs import validation
from glagol.jobs.queue import Claim, Job, LeaseLostError, NewJob, State, Trouble
from glagol.jobs.redis.script import damaged, job, newcomers, script
from glagol.jobs.states import COUNTED, Depth

__all__ = ["RedisQueue"]

T = TypeVar("T")

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 5.0
_BLOCK_S: Final = (
    0.5  # a delayed job that is put meanwhile is no entry of the stream, so XREAD misses it
)
_SWEEP_MAX: Final = 1000
_SWEEP_AT_ONCE: Final = 100  # so that one script does not hold the server for long
_CONSUMER_IDLE_S: Final = 86400
# errors of a server that is reachable and cannot work now
_UNABLE: Final = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterError,
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
)
_UNABLE_WORDS: Final = (
    "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS",
    "OOM", "READONLY", "The user executing the script can't", "UNKILLABLE",
)  # fmt: skip


class RedisQueue:
    """The job queue on one Redis server.

    Args:
        url: `redis://[[user]:password@]host[:port][/db]`, `rediss://...` or `unix://path`. The
            password is never part of a message.
        prefix: Prefix of every key; queues with different prefixes are independent.

    Raises:
        InputError: `setting_invalid`, the URL is not valid.
    """

    def __init__(self, url: str, *, prefix: str = "{glagol}") -> None:
        self._prefix = prefix
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
                retry=Retry(NoBackoff(), 0),  # a claim that is sent twice would use up an attempt
                protocol=2,
                decode_responses=False,
                client_name="glagol",
            )
            pool.make_connection()
        except (TypeError, ValueError):  # the error's text may hold a part of the password
            raise InputError(
                "setting_invalid",
                "the Redis URL cannot be read",
                "write redis://[[user]:password@]host[:port][/db], special characters as %XX",
            ) from None
        self._place = _place(pool.connection_kwargs)
        self._secret = pool.connection_kwargs.get("password") or ""
        self._client = redis.Redis(connection_pool=pool)
        self._set_aside = 0
        self._script = self._client.register_script(script())

    def put(self, new: NewJob) -> Job:
        """See `Queue`."""
        validation.check(new)

        def stored() -> Job:
            word, *answer = self._run("put", *newcomers([new]))
            if word == b"conflict":
                raise validation.conflict(new.idempotency_key)
            return job(answer)

        return self._mended(stored)

    def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> Claim | None:
        """See `Queue`."""
        exhausted = msgspec.json.encode(validation.EXHAUSTED)

        def claimed() -> Claim | None:
            word, *answer = self._run("claim", worker, lease_s, exhausted, *kinds)
            return None if word == b"none" else Claim(job(answer), worker, lease_s)

        return self._mended(claimed)

    def wait(self, kinds: Sequence[str], timeout_s: float) -> None:
        """See `Queue`."""
        end = time.monotonic() + timeout_s
        streams = [f"{self._prefix}:stream:{kind}" for kind in kinds]
        while True:
            _, soonest, *newest = self._run("soonest", *kinds)
            left_s = min(end - time.monotonic(), float(soonest or math.inf))
            if left_s <= 0:
                return
            block_ms = max(1, math.ceil(min(left_s, _BLOCK_S) * 1000))
            with self._reached():
                self._client.xread(dict(zip(streams, newest, strict=True)), count=1, block=block_ms)

    def renew(self, claim: Claim) -> bool:
        """See `Queue`."""
        return bool(self._fenced("renew", claim, claim.lease_s)[0] == b"0")

    def progress(self, claim: Claim, done: float, total: float | None) -> bool:
        """See `Queue`."""
        far = (float(done), "" if total is None else float(total))
        return bool(self._fenced("renew", claim, claim.lease_s, *far)[0] == b"0")

    def finish(self, claim: Claim, result: bytes, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        return self._ended("finish", claim, result, *newcomers(follow))

    def fail(
        self,
        claim: Claim,
        trouble: Trouble,
        retry_in_s: float | None,
        follow: Sequence[NewJob] = (),
    ) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        retry = "" if retry_in_s is None else retry_in_s
        why = msgspec.json.encode(trouble)
        return self._ended("fail", claim, why, retry, *newcomers(follow))

    def stop(self, claim: Claim, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        return self._ended("stop", claim, *newcomers(follow))

    def release(self, claim: Claim, delay_s: float = 0.0) -> Job:
        """See `Queue`."""
        return self._ended("release", claim, delay_s)

    def cancel(self, job_id: str, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        return self._mended(lambda: job(self._known("cancel", job_id, *newcomers(follow))))

    def replay(self, job_id: str) -> Job:
        """See `Queue`."""

        def replayed() -> Job:
            word, *answer = self._run("replay", job_id)
            if word == b"unknown":
                raise validation.unknown(job_id)
            if word == b"state":
                raise validation.wrong_state(job(answer))
            return job(answer)

        return self._mended(replayed)

    def get(self, job_id: str) -> Job:
        """See `Queue`."""
        return self._mended(lambda: job(self._known("get", job_id)))

    def result(self, job_id: str) -> bytes | None:
        """See `Queue`."""

        def read() -> bytes | None:
            with self._reached():
                try:
                    found: Any = self._client.get(f"{self._prefix}:result:{job_id}")
                except redis.exceptions.ResponseError as error:
                    if "WRONGTYPE" in str(error):
                        raise damaged(f"the result of {job_id}") from None
                    raise
            return None if found is None else bytes(found)

        return self._mended(read)

    def page(
        self, *, kind: str, state: State | None = None, owner: str | None = None,
        before: str = "", limit: int = 50,
    ) -> list[Job]:  # fmt: skip
        """See `Queue`."""
        listed = "" if owner is None else f"o{owner}"

        def read() -> list[Job]:
            word, *answer = self._run("page", kind, state or "", listed, before, limit)
            if word == b"unknown":
                raise validation.unknown(before)
            return [job(fields[1:]) for fields in answer]

        return self._mended(read)

    def ahead(self, job: Job) -> int:
        """See `Queue`."""
        return int(self._run("ahead", job.id)[1] or 0)

    def depth(self, kind: str) -> Depth:
        """See `Queue`."""
        return dict(zip(COUNTED, self._run("depth", kind)[1:], strict=True))

    def sweep(self) -> list[Job]:
        """See `Queue`; also removes workers that were inactive for a day."""
        self._run("tidy", _CONSUMER_IDLE_S)
        gone: list[Job] = []
        while len(gone) < _SWEEP_MAX:
            answer = self._run("sweep", _SWEEP_AT_ONCE)[1:]
            for fields in answer:
                with suppress(IntegrityError):  # an unreadable job is deleted, too
                    gone.append(job(fields[1:]))
            if len(answer) < _SWEEP_AT_ONCE:
                break
        return gone

    def forget(self, job_id: str) -> Job:
        """See `Queue`; the server's append-only file keeps it until it is rewritten."""
        return self._mended(lambda: job(self._known("forget", job_id)))

    def set_aside(self) -> int:
        """See `Queue`."""
        return self._set_aside

    def ping(self) -> None:
        """See `Queue`; writes a key, so that a full or read-only server is noticed."""
        self._run("ping")

    def caveat(self) -> str:
        """See `Queue`; reads INFO, and CONFIG where that is allowed."""
        with self._reached():
            about: dict[str, Any] = self._client.info("persistence", "memory")
            try:
                fsync = self._client.config_get("appendfsync").get("appendfsync", "unknown")
            except redis.exceptions.ResponseError:  # forbidden or renamed
                fsync = "unknown"
        found = []
        if not about.get("aof_enabled"):
            found.append("appendonly is off, so jobs are lost when Redis dies")
        elif fsync != "always":
            found.append(f"appendfsync is {fsync}, so a crash can lose the last seconds")
        policy = about.get("maxmemory_policy", "unknown")
        if about.get("maxmemory") and policy != "noeviction":
            found.append(f"maxmemory-policy is {policy}, so jobs are deleted when memory is full")
        return f"{self._place}: {'; '.join(found)}" if found else ""

    def close(self) -> None:
        """See `Queue`."""
        self._client.connection_pool.disconnect()

    def _run(self, *arguments: str | bytes | float) -> list[Any]:
        with self._reached():
            answer: list[Any] = self._script(keys=[self._prefix], args=arguments)
        if answer[0] == b"aside":
            answer = self._log_aside(*answer[1:])
        if answer[0] == b"newer":
            raise HostError(
                "queue_unreachable",
                f"{self._place} has schema {answer[1].decode()}; this program knows schema"
                f" {answer[2]}",
                "start the newer program that wrote it, or name another server",
            )
        return answer

    def _log_aside(self, aside: list[bytes], answer: list[Any]) -> list[Any]:
        """Count and log the records that the script set aside; returns its answer."""
        self._set_aside += len(aside)
        for name in aside:
            journal.write(
                "a record of the queue cannot be read, and is set aside",
                level=logging.ERROR,
                code="state_damaged",
                record=name[:200].decode("ascii", "backslashreplace"),
                remedy=f"look at {self._prefix}:aside:* within a week; find the program that"
                f" writes to {self._place}",
            )
        return answer

    def _mended(self, call: Callable[[], T]) -> T:
        """Run `call`; on an unreadable record run `mend` and retry once.

        Raises:
            IntegrityError: `state_damaged`, another unreadable record was found.
        """
        try:
            return call()
        except IntegrityError:
            self._run("mend")
            return call()

    def _ended(self, transition: str, claim: Claim, *arguments: str | bytes | float) -> Job:
        return self._mended(lambda: job(self._fenced(transition, claim, *arguments)))

    def _known(self, transition: str, job_id: str, *arguments: str | bytes | float) -> list[Any]:
        word, *answer = self._run(transition, job_id, *arguments)
        if word == b"unknown":
            raise validation.unknown(job_id)
        return answer

    def _fenced(self, transition: str, claim: Claim, *arguments: str | bytes | float) -> list[Any]:
        word, *answer = self._run(transition, claim.job.id, claim.job.attempt, *arguments)
        if word == b"lost":
            raise LeaseLostError(claim.job.id)
        return answer

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Translate connection errors and answers of an unavailable server."""
        try:
            yield
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, *_UNABLE) as error:
            raise self._unreachable(error) from None  # the chain could show the password
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith(_UNABLE_WORDS):
                raise
            raise self._unreachable(error) from None

    def _unreachable(self, error: redis.exceptions.RedisError) -> HostError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        why = why.partition(" script: ")[0]
        if self._secret:
            why = why.replace(self._secret, "***")
        return HostError(
            "queue_unreachable",
            f"{self._place} cannot be used: {why[:200]}",
            "start Redis, or mend what it reports; the queue then continues by itself",
        )


def _place(options: dict[str, Any]) -> str:
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"Redis at {where}"
