"""Audio that arrives piece by piece and cannot be read twice: raw samples, or a live container.

What comes out are the samples that a file of the same bytes has in `glagol.speech.audio.decode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from glagol.core.errors import InputError
from glagol.speech.audio.allowed import STREAMED, options
from glagol.speech.audio.budget import FFmpegFile, Readable, Sound, bound_memory
from glagol.speech.audio.decode import check_stream, resampled, samples_of
from glagol.speech.types import Array

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EVERY_S", "RATES", "Reader", "container", "pcm"]

RATES = range(8_000, 192_001)
"""Hz; of raw samples."""

EVERY_S = 0.1
"""Seconds that are gathered for one block: the decoder's share of the delay."""

READ_BYTES = 1 << 16
PCM_SCALE = 2.0**15


Reader = Readable
"""Bytes that arrive: waits for at least one, gives at most `size`, none at the end."""


def pcm(read: Reader, *, rate: int, channels: int) -> Iterator[Array]:
    """Signed 16-bit little-endian samples, interleaved, as they arrive.

    Args:
        read: the bytes; where they are divided does not matter, a last sample that is cut off is
            dropped.
        rate: Hz, one of `RATES`.
        channels: 1..8; their mean is taken.

    Returns:
        An iterator of float32 [n] blocks, mono 16 kHz.
    """
    return resampled(_samples(read, rate, channels), every_s=EVERY_S)


def container(read: Reader) -> Iterator[Array]:
    """An Ogg or WebM stream, as it arrives.

    Args:
        read: the bytes.

    Yields:
        Blocks float32 [n], mono 16 kHz.

    Raises:
        InputError: audio_unreadable, audio_without_sound, audio_truncated, audio_not_finite.
        Exception: whatever `read` raises.
    """
    bound_memory()
    source = FFmpegFile(read)
    try:
        with av.open(source, options=options(STREAMED)) as opened:
            source.check()
            if not opened.streams.audio:
                raise InputError(
                    "audio_without_sound", "the stream has no sound", "send a sound track"
                )
            check_stream(opened.streams.audio[0])
            yield from resampled(_frames(opened, source), every_s=EVERY_S)
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


def _samples(read: Reader, rate: int, channels: int) -> Iterator[tuple[int, Array]]:
    rest = b""
    while data := read(READ_BYTES):
        data = rest + data
        whole = len(data) // (2 * channels) * 2 * channels
        data, rest = data[:whole], data[whole:]
        frames = np.frombuffer(data, "<i2").reshape(-1, channels)
        mean = frames.mean(axis=1, dtype=np.float64) / PCM_SCALE
        yield rate, mean.astype(np.float32)


def _frames(opened: av.container.InputContainer, source: FFmpegFile) -> Iterator[tuple[int, Array]]:
    position, sound = 0.0, Sound()
    packets = opened.demux(opened.streams.audio[0])
    while True:
        try:
            packet = next(packets, None)
            source.check()
            if packet is None:
                return
            frames = packet.decode()
        except FFmpegError as error:
            raise InputError(
                "audio_truncated",
                f"the decoder failed after {position:.2f} s ({error.strerror})",
                "begin a new stream",
            ) from error
        for frame in frames:
            sound.frame(frame.sample_rate, frame.layout.nb_channels, frame.samples)
            samples = samples_of(frame, position, split=False)
            position += len(samples) / frame.sample_rate
            yield frame.sample_rate, samples
