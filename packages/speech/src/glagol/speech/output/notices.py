"""Report what a recording lacks outside of the transcript: a header, an error, a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Notice

__all__ = ["HEADER", "header", "refuse"]

HEADER: Final = "glagol-warnings"
"""Name of the header; without notices it is not sent."""


def header(notices: Sequence[Notice]) -> dict[str, str]:
    """The header, a list of structured fields (RFC 9651): `audio_gap;at=5.12;missing=4.864`.

    Seconds have three digits; a parameter that is unknown is left out.
    """
    return {HEADER: ", ".join(map(_item, notices))} if notices else {}


def refuse(notices: Sequence[Notice]) -> None:
    """Make an error of the first notice, for a caller that wants all or nothing.

    Raises:
        InputError: by the notice's code.
    """
    for notice in notices[:1]:
        raise InputError(
            notice.code,
            notice.message,
            "repair the recording, or leave the option strict out to get what is there",
        )


def _item(notice: Notice) -> str:
    parts = [notice.code]
    if notice.at_s is not None:
        parts.append(f"at={notice.at_s:.3f}")
    if notice.missing_s is not None:
        parts.append(f"missing={notice.missing_s:.3f}")
    return ";".join(parts)
