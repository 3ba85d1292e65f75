"""`python -m glagol.core.errors_page` writes docs/reference/errors.md to stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from glagol.core.errors import CODES, HostError, InputError, IntegrityError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.core.errors import GlagolError

__all__ = ["page"]

_INTRODUCTION: Final = """\
# Error codes

*Made by `python -m glagol.core.errors_page` from `packages/core/src/glagol/core/errors.py`;
a test compares them.*

Every error has a stable code, a message that says what happened, and a remedy that says what to do
in this case. Servers send all three in the `error` object of the answer, commands print them.
"Again" says whether the same request may succeed later; its HTTP answer then has `Retry-After`.
"Field" names the field of the request that is at fault, where the code alone says so. "HTTP" is the
status of the answer, "exit" that of the process.

A bug has the code `internal`, HTTP status 500 and exit status 1. A command that a signal interrupts
has exit status 130.
"""
_FAMILIES: Final[tuple[tuple[type[GlagolError], str], ...]] = (
    (InputError, "The request is wrong: change it (exit 2)"),
    (LimitError, "The request is fine, but too big or too soon (exit 3)"),
    (IntegrityError, "Bytes are missing or wrong: an operator replaces them (exit 4)"),
    (HostError, "The machine cannot do it: disk, driver, readiness (exit 5)"),
)
_HEAD: Final = "| code | HTTP | exit | again | field | meaning |\n|---|---|---|---|---|---|"


def page() -> str:
    """The page of all error codes as Markdown; the same `CODES` give the same text."""
    return _INTRODUCTION + "".join(_section(*family) for family in _FAMILIES)


def _section(family: type[GlagolError], title: str) -> str:
    return f"\n## {title}\n\n{_HEAD}\n" + "".join(f"{row}\n" for row in _rows(family))


def _rows(family: type[GlagolError]) -> Iterator[str]:
    for code, about in sorted(CODES.items()):
        if about.family is family:
            again = "yes" if about.retry else ""
            field = f"`{about.parameter}`" if about.parameter else ""
            cells = (f"`{code}`", about.http_status, about.exit_status, again, field, about.summary)
            yield f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.stdout.write(page())
