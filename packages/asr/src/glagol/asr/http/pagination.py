"""Pages of lists, newest first, and the check for unknown options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, get_args

from glagol.asr.http.options import OptionError
from glagol.jobs.queue import State

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from glagol.asr.http.request import AsrRequest
    from glagol.jobs.queue import Job

__all__ = ["Page", "only", "page_of"]

PAGE: Final = 50
PAGE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for.

    Attributes:
        state: Only jobs in this state; None means all.
        before: Id of the last one of the page before; empty for the first page.
        limit: 1..200.
    """

    state: State | None
    before: str
    limit: int

    def next(self, found: Sequence[Job]) -> str | None:
        """Where the page after `found` begins; None when there can be none."""
        return found[-1].id if len(found) == self.limit else None


def page_of(request: AsrRequest) -> Page:
    """The page that the query asks for.

    Raises:
        OptionError: `option_invalid`.
    """
    given = only(request, ("state", "before", "limit"))
    state, limit = given.get("state") or None, given.get("limit") or str(PAGE)
    if state is not None and state not in get_args(State):
        known = ", ".join(get_args(State))
        raise OptionError("state", f"state={state[:16]!r} is unknown", f"use one of {known}")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= PAGE_MAX):
        raise OptionError("limit", f"limit={limit[:16]!r}", f"use 1..{PAGE_MAX}")
    return Page(cast("State | None", state), given.get("before", ""), int(limit))


def only(request: AsrRequest, names: Collection[str]) -> dict[str, str]:
    """The query's options.

    Raises:
        OptionError: One is unknown or given twice.
    """
    found = {}
    for name in request.query_params:
        values = request.query_params.getall(name)
        if name not in names:
            known = ", ".join(names) or "none"
            raise OptionError(name[:64], f"there is no option {name[:64]!r}", f"known: {known}")
        if len(values) > 1:
            raise OptionError(name, f"the option {name} is given twice", "give it once")
        found[name] = values[0].strip()
    return found
