"""Count and list mentions, with facets and timelines, by SQL; no language model counts.

A mention is a turn that has all words of a query, except for their endings. Text in double quotes
must occur word for word. An empty query matches every turn, so it also answers "who talked most".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from glagol.rag.scope import Scope
    from glagol.rag.store import Found, Store

__all__ = ["FACETS", "Counts", "Facet", "Order", "counted", "mentions"]

Order = Literal["first", "last"]
FACETS: Final = {
    "recording": "r.id",
    "folder": "r.folder",
    "speaker": "t.speaker",
    "channel": "t.channel",
    "tag": "g.tag",
    "day": "r.date",
    "month": "substr(r.date, 1, 7)",
}
_TIMELINES: Final = ("day", "month")
_FIRST: Final = "r.date, r.id, t.number"
_LAST: Final = "r.date DESC, r.id DESC, t.number DESC"
VALUES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Facet:
    """Mentions that share a value, such as those of one speaker.

    Attributes:
        value: Value of the field; empty if it is unknown.
        turns: Number of mentions.
        recordings: Number of recordings with mentions.
        speech_s: Duration of those turns, seconds.
    """

    value: str
    turns: int
    recordings: int
    speech_s: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of all mentions, and of the mentions by fields.

    Attributes:
        turns: Number of mentions.
        recordings: Number of recordings with mentions.
        speech_s: Duration of those turns, seconds.
        facets: Facets by field: timelines (`day`, `month`) in order of time, others with the most
            mentions first; at most `VALUES_MAX` values each.
    """

    turns: int
    recordings: int
    speech_s: float
    facets: dict[str, tuple[Facet, ...]]


_SUMS: Final = "COUNT(*), COUNT(DISTINCT r.id), COALESCE(ROUND(SUM(t.end_s - t.start_s), 3), 0.0)"


def counted(store: Store, query: str, scope: Scope, by: Sequence[str] = ()) -> Counts:
    """Count the mentions inside a scope.

    Args:
        store: Of the index.
        query: Words and phrases that a turn must hold; empty for every turn.
        scope: What may be seen.
        by: Names of `FACETS`.

    Raises:
        InputError: `request_invalid`, there is no such facet.
    """
    for name in by:
        if name not in FACETS:
            raise InputError(
                "request_invalid", f"there is no facet {name!r}", f"one of {', '.join(FACETS)}"
            )
    tables, where, values = store.matched(query, scope)
    whole = f"SELECT {_SUMS} FROM {tables} WHERE {where}"  # noqa: S608
    ((turns, recordings, speech_s),) = store.rows(whole, values)
    facets = {}
    for name in dict.fromkeys(by):
        joined = f"{tables} JOIN tags g ON g.recording = r.id" if name == "tag" else tables
        order = "1" if name in _TIMELINES else "2 DESC, 1"
        sql = (
            f"SELECT {FACETS[name]}, {_SUMS} FROM {joined} WHERE {where}"  # noqa: S608
            f" GROUP BY 1 ORDER BY {order} LIMIT {VALUES_MAX}"
        )
        found = store.rows(sql, values)
        facets[name] = tuple(Facet(str(value), *sums) for value, *sums in found)
    return Counts(turns, recordings, speech_s, facets)


def mentions(store: Store, query: str, scope: Scope, order: Order, limit: int) -> list[Found]:
    """The first or the last mentions inside a scope, by day, recording and time.

    Args:
        store: Of the index.
        query: As for `counted`.
        scope: What may be seen.
        order: Which end of the timeline comes first.
        limit: Most turns.
    """
    tables, where, values = store.matched(query, scope)
    by = _FIRST if order == "first" else _LAST
    sql = f"SELECT t.id FROM {tables} WHERE {where} ORDER BY {by} LIMIT ?"  # noqa: S608
    ids = [row[0] for row in store.rows(sql, [*values, limit])]
    return store.turns(ids, scope)
