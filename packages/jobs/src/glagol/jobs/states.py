"""The states of a job: the one list, and what each state means.

Python, the SQL of the file and the Lua of Redis all take the words and the sets from here.
`queued -> running -> done | failed | cancelled`, and `running -> queued` for another try. The
words are stored and sent: a word that was released stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CANCELLED",
    "COUNTED",
    "DONE",
    "ENDED",
    "EVENTS",
    "FAILED",
    "QUEUED",
    "REPLAYABLE",
    "RUNNING",
    "SETTLED",
    "STATES",
    "Depth",
    "Event",
    "State",
    "Traits",
    "sql",
]

State = Literal["queued", "running", "done", "failed", "cancelled"]
Event = Literal["transcription.completed", "transcription.failed", "transcription.cancelled"]
"""Webhook events: one for each way in which a transcription ends."""

Depth: TypeAlias = "Mapping[State, int]"
"""How many jobs of a kind are in each state of `COUNTED`, in its order."""

QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of one state.

    Attributes:
        ended: Its end is noted, with the time when it will be forgotten; no claim holds it.
        counted: It counts in `Depth`, and in the metric of the queue's depth.
        replayable: It can be made to wait again.
        settled: Nothing works on its input any more, and no replay of it is expected.
        event: The webhook event of this end; None where there is none.
    """

    ended: bool = False
    counted: bool = False
    replayable: bool = False
    settled: bool = False
    event: Event | None = None


STATES: Final[dict[State, Traits]] = {
    QUEUED: Traits(counted=True),
    RUNNING: Traits(counted=True),
    DONE: Traits(ended=True, settled=True, event="transcription.completed"),
    FAILED: Traits(ended=True, counted=True, replayable=True, event="transcription.failed"),
    CANCELLED: Traits(ended=True, replayable=True, settled=True, event="transcription.cancelled"),
}
EVENTS: Final = {traits.event: state for state, traits in STATES.items() if traits.event}
ENDED: Final = frozenset(state for state, traits in STATES.items() if traits.ended)
COUNTED: Final = tuple(state for state, traits in STATES.items() if traits.counted)
REPLAYABLE: Final = frozenset(state for state, traits in STATES.items() if traits.replayable)
SETTLED: Final = frozenset(state for state, traits in STATES.items() if traits.settled)


def sql(*states: State) -> str:
    """States as a list of SQL literals, `'queued', 'running'`; partial indexes need literals."""
    return ", ".join(f"'{state}'" for state in states)
