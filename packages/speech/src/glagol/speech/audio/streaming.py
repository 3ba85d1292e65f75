"""Decode audio that arrives piece by piece: raw samples, or a live container.

The samples equal those that `glagol.speech.audio.decode` gives for a file of the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from glagol.core.errors import InputError
from glagol.speech.audio import tracks
from glagol.speech.audio.allowed import STREAMED, options
from glagol.speech.audio.budget import FFmpegFile, Readable, Sound, bound_memory
from glagol.speech.audio.channels import mixed
from glagol.speech.audio.findings import SILENT, Findings, silent, truncated
from glagol.speech.audio.frames import Frame, Frames
from glagol.speech.audio.resample import resampled
from glagol.speech.audio.timeline import Timeline
from glagol.speech.types import SAMPLE_RATE, Array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.speech.audio.frames import Wide

__all__ = ["EVERY_S", "RATES", "Reader", "container", "pcm"]

RATES = range(8_000, 192_001)
"""Hz; of raw samples."""

EVERY_S = 0.1
"""Seconds that are gathered for one block: the decoder's share of the delay."""

READ_BYTES = 1 << 16
PCM_SCALE = 2.0**15


Reader = Readable
"""Bytes that arrive: waits for at least one, gives at most `size`, none at the end."""


def pcm(
    read: Reader, *, rate: int, channels: int, findings: Findings | None = None
) -> Iterator[Array]:
    """Signed 16-bit little-endian samples, interleaved, as they arrive.

    Args:
        read: the bytes; where they are divided does not matter, a last sample that is cut off is
            dropped.
        rate: Hz, one of `RATES`.
        channels: 1..8; their mean is taken.
        findings: receives channels that cancel each other, and silence.

    Returns:
        An iterator of float32 [n] blocks, mono 16 kHz.
    """
    found = findings or Findings()
    return _heeded(resampled(mixed(_samples(read, rate, channels), found), every_s=EVERY_S), found)


def container(
    read: Reader, *, track: int | None = None, findings: Findings | None = None
) -> Iterator[Array]:
    """An Ogg or WebM stream, as it arrives; its time stamps say where its sound belongs.

    Args:
        read: the bytes.
        track: which audio track, as in `glagol.speech.audio.decode.decode`.
        findings: receives what is missing or damaged.

    Yields:
        Blocks float32 [n], mono 16 kHz.

    Raises:
        InputError: audio_unreadable, audio_without_sound, option_invalid.
        Exception: whatever `read` raises.
    """
    bound_memory()
    found = findings or Findings()
    source = FFmpegFile(read)
    try:
        with av.open(source, options=options(STREAMED)) as opened:
            source.check()
            stream = tracks.chosen(opened, track)
            tracks.only(opened, stream)
            frames = Frames(opened, stream, Sound(), _Unwatched())
            timeline = Timeline(opened, None, found)
            placed = timeline.place(_checked(frames, source))
            yield from _heeded(resampled(mixed(placed, found), every_s=EVERY_S), found, frames)
    except Exception as error:
        if source.trouble is not None:
            raise source.trouble from None
        if not isinstance(error, FFmpegError | ValueError):
            raise
        raise InputError(
            "audio_unreadable",
            "the bytes are not an Ogg or WebM stream",
            "send Ogg/Opus or WebM, or raw samples with encoding pcm_s16le",
        ) from error


class _Unwatched:
    """No limit of its own: the caller limits the seconds."""

    def call(self) -> None:
        """A step."""

    def progress(self) -> None:
        """There was sound."""


def _heeded(
    blocks: Iterator[Array], findings: Findings, frames: Frames | None = None
) -> Iterator[Array]:
    """The blocks; then what can be said at the end."""
    total = 0
    for block in blocks:
        total += len(block)
        yield block
    if frames is not None and frames.lost:
        finding = truncated("its last frames cannot be decoded", total / SAMPLE_RATE, None)
        findings.ended.append(finding)
    if total and findings.peak <= SILENT:
        findings.ended.append(silent("the stream is silent: no sample is above -84 dB"))


def _checked(frames: Frames, source: FFmpegFile) -> Iterator[Frame]:
    for frame in frames:
        source.check()
        yield frame
    source.check()


def _samples(read: Reader, rate: int, channels: int) -> Iterator[tuple[int, Wide]]:
    rest = b""
    while data := read(READ_BYTES):
        data = rest + data
        whole = len(data) // (2 * channels) * 2 * channels
        data, rest = data[:whole], data[whole:]
        frames = np.frombuffer(data, "<i2").reshape(-1, channels)
        if len(frames):
            yield rate, frames / PCM_SCALE
