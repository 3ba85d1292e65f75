"""Collect what is missing, damaged or odd in one recording, as notices.

The codes are those of `glagol.core.errors`: with `strict` a caller gets the same code as an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from glagol.speech.types import Notice

__all__ = ["SILENT", "Findings"]

PLACES_MAX = 20
"""Places of one kind that are listed one by one; later ones are summed up."""

NEAR_SECONDS = 1.0
"""Damage within this of the last one is the same place."""

GAP_SECONDS = 0.5
"""Shorter gaps are summed up: a pause of a codec that sends nothing in silence has 0.4 s."""

MISSING_SECONDS = 0.02
"""Less than a frame of any codec; headers that count themselves as sound are off by as much."""

COUNTED_SECONDS = 0.15
"""How much a stated duration may be off: encoder delay, rounding, padding."""

CANCELLED_SECONDS = 0.3
"""Channels that cancel each other for less are chance."""

SILENT = 2.0**-14
"""Largest sample of a recording that is silence: two steps of 16-bit sound."""


@dataclass(slots=True)
class _Place:
    at_s: float
    missing_s: float
    until_s: float


@dataclass(slots=True)
class Findings:
    """Collects while a recording is decoded; seconds are those of the decoded sound.

    Attributes:
        peak: largest absolute sample of any channel so far.
        ended: notices that need the whole length; set at the end.
    """

    peak: float = 0.0
    ended: list[Notice] = field(default_factory=list)
    _damage: list[_Place] = field(default_factory=list)
    _gaps: list[_Place] = field(default_factory=list)
    _jumps: list[_Place] = field(default_factory=list)
    _short: _Place | None = None
    _cancelled: _Place | None = None

    def gap(self, at_s: float, length_s: float) -> None:
        """Time stamps have a gap; silence was put there."""
        if length_s >= GAP_SECONDS:
            _add(self._gaps, at_s, length_s)
        elif self._short is None:
            self._short = _Place(at_s, length_s, at_s + length_s)
        else:
            self._short.missing_s += length_s

    def jump(self, at_s: float, length_s: float) -> None:
        """Time stamps jump by more than silence may fill."""
        _add(self._jumps, at_s, length_s)

    def damaged(self, at_s: float, missing_s: float) -> None:
        """A part could not be decoded, and sound came behind it."""
        last = self._damage[-1] if self._damage else None
        if last is not None and at_s - last.until_s <= NEAR_SECONDS:
            last.missing_s += missing_s
            last.until_s = at_s + missing_s
        else:
            _add(self._damage, at_s, missing_s)

    def cancelled(self, at_s: float, length_s: float) -> None:
        """Channels cancelled each other, and one alone was taken."""
        if self._cancelled is None:
            self._cancelled = _Place(at_s, 0.0, at_s)
        self._cancelled.missing_s += length_s

    def notices(self) -> list[Notice]:
        """All that is certain now: by place, those about the whole last."""
        found = [
            *(_damage_notice(place) for place in self._damage),
            *(_gap_notice(place) for place in self._gaps),
            *(_jump_notice(place) for place in self._jumps),
            *self._small(),
            *self.ended,
        ]
        return sorted(found, key=lambda notice: (notice.at_s is None, notice.at_s or 0.0))

    def _small(self) -> list[Notice]:
        found = []
        if self._short is not None and self._short.missing_s >= GAP_SECONDS:
            found.append(_short_notice(self._short))
        if self._cancelled is not None and self._cancelled.missing_s >= CANCELLED_SECONDS:
            found.append(_cancelled_notice(self._cancelled))
        return found


def _add(places: list[_Place], at_s: float, missing_s: float) -> None:
    """One more place; the last one grows where there are too many."""
    if len(places) < PLACES_MAX:
        places.append(_Place(at_s, missing_s, at_s + missing_s))
    else:
        places[-1].missing_s += missing_s
        places[-1].until_s = at_s + missing_s


def _notice(code: str, message: str, at_s: float | None, missing_s: float | None) -> Notice:
    return Notice(
        code,
        message,
        None if at_s is None else round(at_s, 3),
        None if missing_s is None else round(missing_s, 3),
    )


def _damage_notice(place: _Place) -> Notice:
    lost = (
        f"about {place.missing_s:.2f} s cannot be decoded" if place.missing_s else "bytes are lost"
    )
    message = f"the recording is damaged near {place.at_s:.2f} s: {lost}"
    return _notice("audio_damaged", message, place.at_s, place.missing_s or None)


def _gap_notice(place: _Place) -> Notice:
    message = (
        f"the time stamps have a gap of {place.missing_s:.2f} s at {place.at_s:.2f} s: a pause of "
        "the recorder, or lost sound; it counts as silence"
    )
    return _notice("audio_gap", message, place.at_s, place.missing_s)


def _jump_notice(place: _Place) -> Notice:
    message = (
        f"the time stamps jump by {place.missing_s:.0f} s at {place.at_s:.2f} s, more than is "
        "filled with silence; times behind it are without the jump"
    )
    return _notice("audio_gap", message, place.at_s, place.missing_s)


def _short_notice(place: _Place) -> Notice:
    message = (
        f"short gaps in the time stamps from {place.at_s:.2f} s on, {place.missing_s:.2f} s in "
        "all: lost packets, or a codec that sends nothing in silence; they count as silence"
    )
    return _notice("audio_gap", message, place.at_s, place.missing_s)


def _cancelled_notice(place: _Place) -> Notice:
    message = (
        f"the channels cancel each other from {place.at_s:.2f} s on, for {place.missing_s:.2f} s: "
        "they have opposite phases; one channel alone was transcribed there"
    )
    return _notice("channels_cancel", message, place.at_s, None)


def truncated(what: str, at_s: float, missing_s: float | None) -> Notice:
    """The recording ends before its container says."""
    lost = "" if missing_s is None else f", {missing_s:.2f} s are missing"
    return _notice("audio_truncated", f"the recording ends early: {what}{lost}", at_s, missing_s)


def undecoded(what: str, at_s: float | None) -> Notice:
    """Bytes that may be sound were not decoded, or not described."""
    return _notice("audio_damaged", what, at_s, None)


def silent(what: str) -> Notice:
    """There is no sound louder than `SILENT`."""
    return _notice("silent", what, None, None)
