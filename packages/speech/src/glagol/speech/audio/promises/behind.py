"""Decide whether bytes behind the data chunk are sound, by comparison with the sound inside.

A header whose size was written too early leaves sound outside of the chunk; a recorder may also
leave old bytes of its disk there. Neighbouring samples of sound are correlated; other data read as
samples is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from glagol.speech.audio.frames import Wide
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["PCM", "Form", "sounds_alike"]

PCM = frozenset({1, 3, 6, 7})
"""Format tags whose bytes are seconds: integers, floats, A-law, mu-law (RFC 2361)."""

PLACES = 8
PLACE_BYTES = 1 << 15
LIKENESS = 0.5
"""Least correlation of neighbouring samples; voices have 0.7 and more, other data near 0."""

LOUDER = 8.0
"""How much louder than the sound before it may be."""


@dataclass(frozen=True, slots=True)
class Form:
    """Samples of a WAV: format tag, channels, Hz, bytes of one in all channels, bits."""

    tag: int
    channels: int
    rate: int
    align: int
    bits: int

    @property
    def bytes_per_second(self) -> int:
        """Of all channels; exact for the tags of `PCM`."""
        return self.rate * self.align


def sounds_alike(file: Seekable, form: Form, start: int, size: int, behind: int) -> bool:
    """Whether the bytes behind the data chunk are sound like that inside it.

    Args:
        file: seekable.
        form: of the samples.
        start: where the data chunk's bytes begin.
        size: how many it states.
        behind: how many stand behind them.
    """
    if form.tag not in PCM or form.align <= 0 or not form.channels:
        return False
    inside = _places(file, form, start, size)
    outside = _places(file, form, start + size, behind)
    blocks = [_likeness(samples) for samples in outside]
    blocks = [(likeness, level) for likeness, level in blocks if level > 0]
    if not blocks:
        return False
    loudest = max((level for _, level in map(_likeness, inside)), default=0.0)
    alike = sum(likeness >= LIKENESS for likeness, _ in blocks)
    quiet = max(level for _, level in blocks) <= max(LOUDER * loudest, 0.01)
    return quiet and 2 * alike > len(blocks)


def _places(file: Seekable, form: Form, start: int, size: int) -> list[Wide]:
    """Samples of the first channel from evenly spaced places, float64 [n] each."""
    found = []
    step = max(PLACE_BYTES, size // PLACES)
    for place in range(0, size, step):
        at = place - place % form.align
        file.seek(start + at)
        data = file.read(min(PLACE_BYTES, size - at))
        samples = _samples(data[: len(data) - len(data) % form.align], form)
        if samples is not None and len(samples) > 1:
            found.append(samples)
    return found


def _likeness(samples: Wide) -> tuple[float, float]:
    """Correlation of neighbouring samples, and the level; both 0 for silence."""
    centred = samples - samples.mean()
    power = float(np.square(centred).mean())
    if not np.isfinite(power) or power <= 1e-9:
        return 0.0, 0.0
    return float((centred[1:] * centred[:-1]).mean()) / power, power**0.5


def _samples(data: bytes, form: Form) -> Wide | None:
    """The first channel, about -1 to 1; None for a width that no recorder has."""
    raw = np.frombuffer(data, np.uint8).reshape(-1, form.align)
    width = form.align // form.channels
    first = raw[:, :width]
    if form.tag == 3 and width in (4, 8):
        with np.errstate(invalid="ignore", over="ignore"):
            return np.ascontiguousarray(first).view(f"<f{width}")[:, 0].astype(np.float64)
    if form.tag in (6, 7) and width == 1:
        return _companded(first[:, 0], mu=form.tag == 7)
    if form.tag == 1 and width == 1:
        return first[:, 0] / 128.0 - 1.0
    if form.tag == 1 and 2 <= width <= 4:
        high, low = first[:, -1].astype(np.int8), first[:, -2]
        return high / 128.0 + low / 32_768.0
    return None


def _companded(codes: npt.NDArray[np.uint8], *, mu: bool) -> Wide:
    """G.711, near enough to compare levels: sign, exponent, mantissa."""
    bits = ~codes if mu else codes ^ 0x55
    level = np.exp2((bits >> 4 & 7).astype(np.float64)) * (1 + (bits & 15) / 16) / 256
    negative = bits & 0x80 if mu else ~bits & 0x80
    found: Wide = np.where(negative, -level, level)
    return found
