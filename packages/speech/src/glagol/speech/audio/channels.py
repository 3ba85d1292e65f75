"""Mix channels to one: their mean, except where they cancel each other.

A cable or plug with two wires crossed gives a channel the opposite phase; the mean of the two is
silence. Where the mean has far less power than channels without relation would leave, the first
loud channel is taken alone. What is taken does not depend on how the samples are divided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from glagol.speech.audio.findings import Findings
    from glagol.speech.audio.frames import Wide
    from glagol.speech.types import Array

__all__ = ["apart", "mixed"]

UNITS_PER_SECOND = 10
"""The mean is judged for each tenth of a second."""

CANCELLED = 0.03
"""Share of the power of unrelated channels below which a mean is cancelled: 15 dB."""

QUIET = 1e-7
"""Mean square of a channel, below which nothing is judged: -70 dB of full scale."""

LOUD = 0.25
"""Share of the loudest channel's power that makes a channel loud."""


def mixed(sound: Iterable[tuple[int, Wide]], findings: Findings) -> Iterator[tuple[int, Array]]:
    """One channel.

    Args:
        sound: rate in Hz and float64 [n, channels]; both may change.
        findings: receives the loudest sample and channels that cancel each other.

    Yields:
        Rate in Hz and float32 [n], within -1 and 1.
    """
    held: list[Wide] = []
    form, position = (0, 0), 0.0
    for rate, samples in sound:
        _heed(samples, findings)
        if samples.shape[1] == 1 and not held:
            position += len(samples) / rate
            yield rate, _limited(samples[:, 0])
            continue
        if form != (rate, samples.shape[1]):
            for part in _units(held, form[0], position, findings, rest=True):
                position += len(part) / form[0]
                yield form[0], part
            form, held = (rate, samples.shape[1]), []
        held.append(samples)
        for part in _units(held, rate, position, findings, rest=False):
            position += len(part) / rate
            yield rate, part
    for part in _units(held, form[0], position, findings, rest=True):
        yield form[0], part


def apart(sound: Iterable[tuple[int, Wide]], findings: Findings) -> Iterator[tuple[int, Array]]:
    """All channels, float32 [n, channels] within -1 and 1; see `mixed`."""
    for rate, samples in sound:
        _heed(samples, findings)
        yield rate, _limited(samples)


def _heed(samples: Wide, findings: Findings) -> None:
    findings.peak = max(
        findings.peak, float(samples.max(initial=0)), -float(samples.min(initial=0))
    )


def _limited(samples: Wide) -> Array:
    limited: Array = np.clip(samples, -1.0, 1.0).astype(np.float32)
    return limited


def _units(
    held: list[Wide], rate: int, position: float, findings: Findings, *, rest: bool
) -> Iterator[Array]:
    """The units that are complete, or all that is left; `held` keeps what is not."""
    unit = max(1, rate // UNITS_PER_SECOND)
    if not held or (not rest and sum(map(len, held)) < unit):
        return
    samples = held[0] if len(held) == 1 else np.concatenate(held)
    whole = len(samples) if rest else len(samples) // unit * unit
    held[:] = [samples[whole:]] if whole < len(samples) else []
    if samples.shape[1] == 1:
        yield _limited(samples[:whole, 0])
        return
    for start in range(0, whole, unit):
        taken = samples[start : min(start + unit, whole)]
        alone = _alone(taken)
        if alone is None:
            yield _limited(taken.mean(axis=1))
        else:
            findings.cancelled(position + start / rate, len(taken) / rate)
            yield _limited(taken[:, alone])


def _alone(samples: Wide) -> int | None:
    """The channel to use where channels cancel each other; None where they do not."""
    centred = samples - samples.mean(axis=0)
    powers = np.square(centred).mean(axis=0)
    loudest = float(powers.max())
    if loudest < QUIET:
        return None
    mean = float(np.square(centred.mean(axis=1)).mean())
    if mean >= CANCELLED * float(powers.sum()) / samples.shape[1] ** 2:
        return None
    return int(np.flatnonzero(powers >= LOUD * loudest)[0])
