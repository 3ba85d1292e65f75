"""The Lua script of the queue on Redis; encoding of its arguments and answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from glagol.core.errors import IntegrityError
from glagol.jobs.queue import Job, NewJob, Trouble
from glagol.jobs.states import COUNTED, REPLAYABLE, STATES

__all__ = ["damaged", "job", "newcomers", "script"]


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
        f"local STATES = {{{', '.join(f'{state} = true' for state in STATES)}}} "
        f"local FIELDS = {{{fields}}} "
    )
    return head + Path(__file__).with_name("queue.lua").read_text(encoding="ascii")


def newcomers(jobs: Iterable[NewJob]) -> list[str | bytes | float]:
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


def job(fields: Sequence[bytes]) -> Job:
    """A job of the fields that `queue.lua` shows: the port's, in its order.

    Raises:
        IntegrityError: `state_damaged`.
    """
    if None in fields:
        raise damaged("a job")
    named = dict(zip(Job.__struct_fields__, fields, strict=True))
    payload, trouble, total = named.pop("payload"), named.pop("trouble"), named.pop("total")
    try:
        made = msgspec.convert(
            {
                **{name: value.decode(errors="replace") for name, value in named.items()},
                "payload": payload,
                "trouble": _trouble(trouble) if trouble else None,
                "total": float(total) if total else None,
            },
            Job,
            strict=False,  # numbers and booleans come as text
        )
    except ValueError as error:  # that of msgspec, too
        raise damaged("a job") from error
    times = (made.created_s, made.changed_s, made.due_s, made.expires_s, made.done, made.total or 0)
    if not all(map(math.isfinite, times)):
        raise damaged("a job")
    return made


def _trouble(data: bytes) -> Trouble:
    """What `fail` stored."""
    try:
        return msgspec.json.decode(data, type=Trouble)
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = "why it failed was stored, and cannot be read"
        return Trouble("state_damaged", why, "look into the workers' logs for this job")


def damaged(what: str) -> IntegrityError:
    """The error for a record that this project cannot have written."""
    return IntegrityError(
        "state_damaged",
        f"{what} in Redis cannot be read",
        "find the other program that writes to this Redis",
    )
