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

__all__ = ["BEHIND_SECONDS", "PCM", "Form", "extended", "form_of"]

PCM = frozenset({1, 3, 6, 7})
"""Format tags whose bytes are seconds: integers, floats, A-law, mu-law (RFC 2361)."""

EXTENSIBLE = 0xFFFE
"""Format tag that says: the tag stands behind the fields that all forms have."""

PLACES = 8
PLACE_BYTES = 1 << 15
LIKENESS = 0.5
"""Least correlation of neighbouring samples; voices have 0.7 and more, other data near 0."""

LOUDER = 8.0
"""How much louder than the sound before it may be."""

QUIET = 1e-3
"""A level from which nothing follows: the stated part is silence, or hardly a sample."""


BEHIND_SECONDS = 0.5
"""Less sound than this behind the stated end is not worth a word."""

SCAN_BYTES = 1 << 20
SCANNED_MAX = 64 << 20
"""Behind so many zeros there is no sound."""


@dataclass(frozen=True, slots=True)
class Form:
    """Samples: format tag of WAV, channels, Hz, bytes of one in all channels, byte order."""

    tag: int
    channels: int
    rate: int
    align: int
    big: bool = False

    @property
    def bytes_per_second(self) -> int:
        """Of all channels; exact for the tags of `PCM`."""
        return self.rate * self.align


def form_of(body: bytes) -> Form | None:
    """Of the content of a `fmt ` chunk, at least 16 bytes; None for less."""
    if len(body) < 16:
        return None
    tag, channels = body[0] | body[1] << 8, body[2] | body[3] << 8
    if tag == EXTENSIBLE and len(body) >= 26:
        tag = body[24] | body[25] << 8
    rate = int.from_bytes(body[4:8], "little")
    align = body[12] | body[13] << 8
    return Form(tag, channels, rate, align)


def extended(
    file: Seekable, form: Form | None, start: int, size: int, rest: int, end: int
) -> tuple[int, str]:
    """How many bytes of sound there are, and a remark where they are not those that are stated.

    Args:
        file: seekable.
        form: of the samples; None when it is unknown.
        start: where the sound begins.
        size: how many bytes of it are stated.
        rest: where the bytes begin that belong to nothing.
        end: where the file ends.
    """
    behind = end - rest
    if form is None or form.bytes_per_second <= 0:
        return size, ""
    if behind < BEHIND_SECONDS * form.bytes_per_second or _zeros(file, rest, behind):
        return size, ""
    what = f"its header states {size} bytes of sound, and {behind} bytes stand behind them"
    inside = size - size % form.align
    if _sounds_alike(file, form, start, inside, end - start - inside):
        whole = end - start
        return whole - whole % form.align, f"{what} that sound like it: all are transcribed"
    return size, f"{what} that are no chunk and do not sound like it: they are left out"


def _zeros(file: Seekable, start: int, size: int) -> bool:
    """Whether there is nothing else."""
    file.seek(start)
    left = min(size, SCANNED_MAX)
    while left > 0 and (block := file.read(min(left, SCAN_BYTES))):
        if block.strip(b"\0"):
            return False
        left -= len(block)
    return True


def _sounds_alike(file: Seekable, form: Form, start: int, size: int, behind: int) -> bool:
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
    quiet = max(level for _, level in blocks) <= LOUDER * loudest
    return (quiet or loudest < QUIET) and 2 * alike > len(blocks)


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
    first = raw[:, :width][:, ::-1] if form.big else raw[:, :width]
    if form.big and form.tag == 1 and width == 1:
        return np.ascontiguousarray(first).view(np.int8)[:, 0] / 128.0
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
