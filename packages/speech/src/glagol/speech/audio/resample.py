"""Resample audio of any rate to 16 kHz as a stream, each channel separately (libsoxr)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from glagol.speech.types import SAMPLE_RATE, Array

__all__ = ["GATHERED_MAX", "resampled"]

GATHERED_MAX = 192_000
"""Most samples of a channel that are resampled at once, so a high stated rate costs no memory."""


def resampled(
    frames: Iterator[tuple[int, Array]], channels: int | None = None, *, every_s: float = 1.0
) -> Iterator[Array]:
    """Resample frames to 16 kHz in larger blocks; the rate may change between frames.

    Args:
        frames: rate in Hz and float32 [n], or [n, channels].
        channels: number of channels of two-dimensional frames; None for one-dimensional ones.
        every_s: seconds of audio that are gathered for one block, within `GATHERED_MAX`. It does
            not change the samples.

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
