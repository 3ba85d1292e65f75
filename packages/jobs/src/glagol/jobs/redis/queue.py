"""The queue on Redis Streams: any number of processes on any number of machines.

A stream per kind holds the jobs that are due, and its consumer group says who has which; delayed
jobs wait in a sorted set, leases in another. Every transition is one run of `queue.lua`, which
takes the server's TIME as its clock and changes the job's state, its stream entry (XACK and XDEL,
or XCLAIM for a lease) and its followers together or not at all. All keys share one hash tag, so
that they lie on one node of a cluster.

What the server has to be: Redis 7.0 or newer with `appendonly yes`, `appendfsync always` and
`maxmemory-policy noeviction`. With `everysec`, its default, a crash can lose the last two seconds
of what was acknowledged: while a slow sync runs, Redis answers before it writes. A replica that
takes over lacks what had not reached it. `caveat` says which of this does not hold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from glagol.core.errors import HostError, InputError
from glagol.jobs import validation
from glagol.jobs.queue import Claim, Job, LeaseLostError, NewJob, State, Trouble
from glagol.jobs.states import COUNTED, REPLAYABLE, STATES, Depth

__all__ = ["RedisQueue", "script"]

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 5.0
_BLOCK_S: Final = 0.5  # a delayed job may be put meanwhile, which rings no bell
_SWEEP_MAX: Final = 1000
_SWEEP_AT_ONCE: Final = 100  # so that one script does not hold the server for long
_CONSUMER_IDLE_S: Final = 86400
# answers of a server that is there but cannot take part now
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
    """The queue port on one Redis server.

    Args:
        url: `redis://[[user]:password@]host[:port][/db]`, `rediss://...` or `unix://path`. The
            password never gets into a message.
        prefix: Of every key; two queues with different prefixes know nothing of each other.

    Raises:
        InputError: `setting_invalid`, the URL is none.
    """

    def __init__(self, url: str, *, prefix: str = "{glagol}") -> None:
        self._prefix = prefix
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
                retry=Retry(NoBackoff(), 0),  # a claim that is sent twice would cost an attempt
                protocol=2,
                decode_responses=False,
                client_name="glagol",
            )
            pool.make_connection()
        except (TypeError, ValueError):  # whose text may hold a part of the password
            raise InputError(
                "setting_invalid",
                "the Redis URL cannot be read",
                "write redis://[[user]:password@]host[:port][/db], special characters as %XX",
            ) from None
        self._place = _place(pool.connection_kwargs)
        self._secret = pool.connection_kwargs.get("password") or ""
        self._client = redis.Redis(connection_pool=pool)
        self._script = self._client.register_script(script())

    def put(self, new: NewJob) -> Job:
        """See the port."""
        validation.check(new)
        word, *answer = self._run("put", *_newcomers([new]))
        if word == b"conflict":
            raise validation.conflict(new.idempotency_key)
        return _job(answer)

    def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> Claim | None:
        """See the port."""
        exhausted = msgspec.json.encode(validation.EXHAUSTED)
        word, *answer = self._run("claim", worker, lease_s, exhausted, *kinds)
        return None if word == b"none" else Claim(_job(answer), worker, lease_s)

    def wait(self, kinds: Sequence[str], timeout_s: float) -> None:
        """See the port."""
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
        """See the port."""
        return bool(self._fenced("renew", claim, claim.lease_s)[0] == b"0")

    def progress(self, claim: Claim, done: float, total: float | None) -> bool:
        """See the port."""
        far = (float(done), "" if total is None else float(total))
        return bool(self._fenced("renew", claim, claim.lease_s, *far)[0] == b"0")

    def finish(self, claim: Claim, result: bytes, follow: Sequence[NewJob] = ()) -> Job:
        """See the port."""
        validation.check_followers(follow)
        return _job(self._fenced("finish", claim, result, *_newcomers(follow)))

    def fail(
        self,
        claim: Claim,
        trouble: Trouble,
        retry_in_s: float | None,
        follow: Sequence[NewJob] = (),
    ) -> Job:
        """See the port."""
        validation.check_followers(follow)
        retry = "" if retry_in_s is None else retry_in_s
        why = msgspec.json.encode(trouble)
        return _job(self._fenced("fail", claim, why, retry, *_newcomers(follow)))

    def stop(self, claim: Claim, follow: Sequence[NewJob] = ()) -> Job:
        """See the port."""
        validation.check_followers(follow)
        return _job(self._fenced("stop", claim, *_newcomers(follow)))

    def release(self, claim: Claim) -> Job:
        """See the port."""
        return _job(self._fenced("release", claim))

    def cancel(self, job_id: str, follow: Sequence[NewJob] = ()) -> Job:
        """See the port."""
        validation.check_followers(follow)
        return _job(self._known("cancel", job_id, *_newcomers(follow)))

    def replay(self, job_id: str) -> Job:
        """See the port."""
        word, *answer = self._run("replay", job_id)
        if word == b"unknown":
            raise validation.unknown(job_id)
        if word == b"state":
            raise validation.wrong_state(_job(answer))
        return _job(answer)

    def get(self, job_id: str) -> Job:
        """See the port."""
        return _job(self._known("get", job_id))

    def result(self, job_id: str) -> bytes | None:
        """See the port."""
        with self._reached():
            found: Any = self._client.get(f"{self._prefix}:result:{job_id}")
        return None if found is None else bytes(found)

    def page(
        self, *, kind: str, state: State | None = None, owner: str | None = None,
        before: str = "", limit: int = 50,
    ) -> list[Job]:  # fmt: skip
        """See the port."""
        listed = "" if owner is None else f"o{owner}"
        word, *answer = self._run("page", kind, state or "", listed, before, limit)
        if word == b"unknown":
            raise validation.unknown(before)
        return [_job(fields[1:]) for fields in answer]

    def ahead(self, job: Job) -> int:
        """See the port."""
        return int(self._run("ahead", job.id)[1] or 0)

    def depth(self, kind: str) -> Depth:
        """See the port."""
        return dict(zip(COUNTED, self._run("depth", kind)[1:], strict=True))

    def sweep(self) -> list[Job]:
        """See the port; workers that were not seen for a day are struck off as well."""
        self._run("tidy", _CONSUMER_IDLE_S)
        gone: list[Job] = []
        while len(gone) < _SWEEP_MAX:
            answer = self._run("sweep", _SWEEP_AT_ONCE)[1:]
            gone += [_job(fields[1:]) for fields in answer]
            if len(answer) < _SWEEP_AT_ONCE:
                break
        return gone

    def ping(self) -> None:
        """See the port; writes a key, so that a full or read-only server is seen."""
        self._run("ping")

    def caveat(self) -> str:
        """See the port; reads INFO, and CONFIG where that is allowed."""
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
            found.append(
                f"maxmemory-policy is {policy}, so jobs are thrown away when memory is full"
            )
        return f"{self._place}: {'; '.join(found)}" if found else ""

    def close(self) -> None:
        """See the port."""
        self._client.connection_pool.disconnect()

    def _run(self, *arguments: str | bytes | float) -> list[Any]:
        with self._reached():
            answer: list[Any] = self._script(keys=[self._prefix], args=arguments)
        if answer[0] == b"newer":
            raise HostError(
                "queue_unreachable",
                f"{self._place} has schema {answer[1].decode()}; this program knows schema"
                f" {answer[2]}",
                "start the newer program that wrote it, or name another server",
            )
        return answer

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
        """Translate what says that the server is not there, or cannot take part now."""
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
            "start it, or give it what it lacks; the queue then goes on by itself",
        )


def script() -> str:
    """`queue.lua` after one line of locals: the states by name, sets of them, a job's fields.

    The line ends in a space, so that an error's line number is that of `queue.lua`.
    """
    names = [state.upper() for state in STATES]
    values = [repr(state) for state in STATES]
    counted, fields = (", ".join(map(repr, words)) for words in (COUNTED, Job.__struct_fields__))
    replayable = ", ".join(f"{state} = true" for state in STATES if state in REPLAYABLE)
    head = (
        f"local {', '.join(names)} = {', '.join(values)} "
        f"local COUNTED, REPLAYABLE = {{{counted}}}, {{{replayable}}} "
        f"local FIELDS = {{{fields}}} "
    )
    return head + Path(__file__).with_name("queue.lua").read_text(encoding="ascii")


def _place(options: dict[str, Any]) -> str:
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"Redis at {where}"


def _newcomers(jobs: Iterable[NewJob]) -> list[str | bytes | float]:
    """Ten arguments for each."""
    return [
        value
        for new in jobs
        for value in (
            new.id,
            new.kind,
            new.payload,
            new.owner,
            new.idempotency_key,
            new.request_sha256,
            new.delay_s,
            new.attempts_max,
            new.ttl_s,
            new.heir_kind,
        )
    ]


def _job(fields: Sequence[bytes]) -> Job:
    """A job of the fields that `queue.lua` shows: the port's, in its order."""
    named = dict(zip(Job.__struct_fields__, fields, strict=True))
    payload, trouble, total = named.pop("payload"), named.pop("trouble"), named.pop("total")
    return msgspec.convert(
        {
            **{name: value.decode() for name, value in named.items()},
            "payload": payload,
            "trouble": msgspec.json.decode(trouble, type=Trouble) if trouble else None,
            "total": float(total) if total else None,
        },
        Job,
        strict=False,  # numbers and booleans come as text
    )
