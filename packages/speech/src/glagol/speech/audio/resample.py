"""Resample sound of any rate to 16 kHz as a stream, each channel separately (libsoxr)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from glagol.speech.types import SAMPLE_RATE, Array

__all__ = ["GATHERED_MAX", "resampled"]

GATHERED_MAX = 192_000
"""Samples of each channel that are resampled at once: memory does not grow with a stated rate."""


def resampled(
    frames: Iterator[tuple[int, Array]], channels: int | None = None, *, every_s: float = 1.0
) -> Iterator[Array]:
    """Gather samples of one rate and resample them; the rate may change between frames.

    Args:
        frames: rate in Hz and float32 [n], or [n, channels].
        channels: of two-dimensional frames; None for one-dimensional ones.
        every_s: how much is gathered, seconds, within `GATHERED_MAX`; the samples do not depend on
            it.

    Returns:
        Blocks at 16 kHz, shaped like the frames.
    """
    pending: list[Array] = []
    count = 0
    rate = 0
    empty = np.zeros(0 if channels is None else (0, channels), np.float32)
    stream: soxr.ResampleStream | None = None
    for frame_rate, samples in frames:
        if frame_rate != rate or stream is None:
            if stream is not None:
                yield stream.resample_chunk(np.concatenate([*pending, empty]), last=True)
            rate, count, pending = frame_rate, 0, []
            stream = soxr.ResampleStream(
                rate, SAMPLE_RATE, channels or 1, dtype="float32", quality="HQ"
            )
        pending.append(samples)
        count += len(samples)
        if count >= min(rate * every_s, GATHERED_MAX):
            yield stream.resample_chunk(np.concatenate(pending))
            pending, count = [], 0
    if stream is not None:
        yield stream.resample_chunk(np.concatenate([*pending, empty]), last=True)
