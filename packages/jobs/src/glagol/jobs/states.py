"""The states of a job: the one list, and what each state means.

Python, the SQL of the file and the Lua of Redis all take the words and the sets from here.
`queued -> running -> done | failed | cancelled`, and `running -> queued` for another try. The
words are stored and sent: a word that was released stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "CANCELLED",
    "COUNTED",
    "DONE",
    "ENDED",
    "FAILED",
    "QUEUED",
    "REPLAYABLE",
    "RUNNING",
    "SETTLED",
    "STATES",
    "State",
    "Traits",
    "event_of",
    "sql",
]

State = Literal["queued", "running", "done", "failed", "cancelled"]

QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class Traits:
    """What is true of a job in one state.

    Attributes:
        ended: Its end is noted, with the time when it will be forgotten; no claim holds it.
        counted: It counts in `Depth`, and in the metric of the queue's depth.
        replayable: It can be made to wait again.
        settled: Nothing works on its input any more, and no replay of it is expected.
        event: Last word of the webhook event that tells about this end; empty: none does.
    """

    ended: bool = False
    counted: bool = False
    replayable: bool = False
    settled: bool = False
    event: str = ""


STATES: Final[dict[State, Traits]] = {
    QUEUED: Traits(counted=True),
    RUNNING: Traits(counted=True),
    DONE: Traits(ended=True, settled=True, event="completed"),
    FAILED: Traits(ended=True, counted=True, replayable=True, event="failed"),
    CANCELLED: Traits(ended=True, replayable=True, settled=True, event="cancelled"),
}
ENDED: Final = frozenset(state for state, traits in STATES.items() if traits.ended)
COUNTED: Final = tuple(state for state, traits in STATES.items() if traits.counted)
REPLAYABLE: Final = frozenset(state for state, traits in STATES.items() if traits.replayable)
SETTLED: Final = frozenset(state for state, traits in STATES.items() if traits.settled)


def event_of(state: State, kind: str) -> str:
    """Name of the event of an end, such as `transcription.completed`.

    Args:
        state: An ended one.
        kind: What the job is about: `transcription`.
    """
    return f"{kind}.{STATES[state].event}"


def sql(*states: State) -> str:
    """States as a list of SQL literals, `'queued', 'running'`; partial indexes need literals."""
    return ", ".join(f"'{state}'" for state in states)
