"""Questions that a person must decide before a bundle is passed on, with their evidence.

A remark never stops a build; an unknown licence does. A remark means that the licence is known, but
may require more than including its text, or that the wheel's statements are ambiguous.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from glagol.bundle.licences import rules

if TYPE_CHECKING:
    from glagol.bundle.licences.rules import Basis
    from glagol.bundle.licences.wheel_metadata import Label

Kind: TypeAlias = Literal[
    "conflict", "copyleft", "from-text", "judged", "native-libraries", "no-text", "proprietary"
]
_NATIVE = re.compile(r"[^/]+\.libs/([^/]+)")  # where auditwheel puts libraries of others
_LIBRARY = re.compile(r"(?:.*/)?(lib[^/]+?\.so)(?:\.[\d.]+)?")
_NAMED_MAX = 12  # libraries that a remark names


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """One question: its kind, and what in the wheel it rests on."""

    kind: Kind
    detail: str


def remarks(label: Label, expression: str, basis: Basis) -> list[Remark]:
    """Remarks about a wheel, except those about its text.

    Args:
        label: the wheel's own words.
        expression: what it is carried under.
        basis: where that comes from.
    """
    found = [*_doubts(label, expression, basis)]
    names = rules.parts(expression)
    if copyleft := [name for name in names if name.startswith(rules.COPYLEFT)]:
        found.append(Remark("copyleft", f"{', '.join(copyleft)}: source may be asked for"))
    if any(name.startswith("LicenseRef-NVIDIA") for name in names):
        found.append(Remark("proprietary", _distribution(label)))
    if native := [m[1] for m in map(_NATIVE.fullmatch, label.files) if m]:
        found.append(Remark("native-libraries", f"of other projects: {_few(native)}"))
    return found


def _doubts(label: Label, expression: str, basis: Basis) -> list[Remark]:
    """Where the expression is not simply what the metadata states."""
    if basis == "judged":
        evidence = rules.JUDGED[label.subject].evidence
        return [Remark("judged", f"states: {label.stated}; rests on {evidence}")]
    if basis == "text":
        return [Remark("from-text", f"states: {label.stated}; its text is {expression}")]
    found = []
    agreed = {None, expression, *rules.parts(expression)}
    open_but_not = "Proprietary" in label.stated and "Proprietary" not in expression
    if open_but_not or {rules.spelled(statement) for statement in label.statements} - agreed:
        found.append(Remark("conflict", f"states: {label.stated}"))
    if label.recognised not in agreed:
        found.append(Remark("conflict", f"states {expression}; its text is {label.recognised}"))
    return found


def _distribution(label: Label) -> str:
    """What a proprietary text says of passing files on, and which libraries it names."""
    read = [rules.READ.get(hashlib.sha256(text).hexdigest()) for text in label.texts.values()]
    said = [reading.distribution for reading in read if reading]
    if not said:
        own = f"its text is {label.recognised}" if label.recognised else "its text is not reviewed"
        return own if label.texts else "there is no text to read"
    if any(reading.lists for reading in read if reading):
        whole = b"\n".join(label.texts.values()).decode("utf-8", "replace")
        libraries = sorted({m[1] for m in map(_LIBRARY.fullmatch, label.files) if m})
        named = [library for library in libraries if library in whole]
        others = [library for library in libraries if library not in named]
        said += [f"libraries that it names: {_few(named)}"] if named else []
        said += [f"libraries that it does not name: {_few(others)}"] if others else []
    return "; ".join(said)


def _few(names: list[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
