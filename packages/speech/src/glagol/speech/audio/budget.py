"""Limits for one recording: calls without sound, memory, sample rates, samples.

A file is untrusted input of its demuxer. Its stated sizes and rates may be false, so every limit is
in a unit that the file cannot choose.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import BinaryIO, Protocol

import av.container.core

from glagol.core.errors import GlagolError, HostError, InputError, LimitError

__all__ = ["FFmpegFile", "Readable", "Sound", "WatchedFile", "bound_memory", "check_sound"]

CALLS = 100_000
BYTES_PER_CALL = 16
"""One more call for so many bytes that were read: MP4 in fragments takes 12 for each of them."""

RATES = range(1_000, 768_001)
"""Hz that a file may state. Sound below has no speech; no converter is faster."""

CHANNELS_MAX = 64
SAMPLES_PER_SECOND = 48_000 * CHANNELS_MAX
"""In all channels: 64 at 48 kHz, 4 at 768 kHz."""

SAMPLES_PER_ACCEPTED_SECOND = 384_000
"""In all channels, for each second of the longest accepted recording: stereo at 192 kHz."""

SAMPLES_MIN = 1 << 28
"""What is always accepted, so that a low limit on seconds refuses no short recording."""

ALLOCATION_BYTES = 96 << 20
"""The largest single piece of memory; twelve hours of AAC have an index of 49 MB."""


class Readable(Protocol):
    """Bytes that arrive or lie in a file."""

    def __call__(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


class WatchedFile:
    """A seekable recording whose calls are counted.

    Args:
        file: the bytes.
        cancelled: asked at each call.

    Attributes:
        end: where the file ends for its readers, bytes; what lies behind is never read.
        patches: bytes that its readers see instead of the file's, by position.
    """

    def __init__(self, file: BinaryIO, cancelled: Callable[[], bool] | None = None) -> None:
        self._file = file
        self._start = 0
        self._at = file.seek(0)
        self._calls = 0
        self._furthest = 0
        self._cancelled = cancelled
        self.end = file.seek(0, io.SEEK_END)
        self.patches: Sequence[tuple[int, bytes]] = ()
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none at the end.

        Raises:
            InputError, HostError: as `call`.
        """
        self.call()
        left = max(0, self.end - self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        for position, patch in self.patches:
            data = _patched(data, position - self._at, patch)
        self._at += len(data)
        self._furthest = max(self._furthest, self._at)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it.

        Raises:
            ValueError: the position would be negative.
            InputError, HostError: as `call`.
        """
        self.call()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.end}[whence]
        if base + offset < 0:
            raise ValueError(f"there is no position {base + offset}")
        self._at = self._file.seek(self._start + base + offset) - self._start
        return self._at

    def skip(self, size: int) -> None:
        """Leave out the first bytes; positions, `end` and `patches` count from behind them."""
        self._start += size
        self.end -= size
        self.seek(0)

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def call(self) -> None:
        """Count a call that brought no sound.

        Raises:
            InputError: `audio_unreadable`, there was too much of it.
            HostError: `cancelled`.
        """
        if self._cancelled is not None and self._cancelled():
            raise HostError("cancelled", "the reading was cancelled", "send it again if needed")
        self._calls += 1
        if self._calls > CALLS + self._furthest // BYTES_PER_CALL:
            raise InputError(
                "audio_unreadable",
                f"{self._calls - 1} steps through the file found no sound: its structure is broken",
                "convert the recording to WAV or FLAC, for example with ffmpeg",
            )

    def progress(self) -> None:
        """Start to count anew: there was sound."""
        self._calls = 0


def _patched(data: bytes, at: int, patch: bytes) -> bytes:
    """`data` with `patch` in place of what it has from `at` on, as far as the two overlap."""
    start, end = max(0, at), min(len(data), at + len(patch))
    if start >= end:
        return data
    return data[:start] + patch[start - at : end - at] + data[end:]


class FFmpegFile:
    """File object for FFmpeg without a name; it keeps exceptions, which FFmpeg cannot pass on.

    Args:
        read: the bytes.
        seek: for files; None where the bytes arrive once.
        tell: for files.

    Attributes:
        trouble: the exception that ended the bytes for FFmpeg.
    """

    def __init__(
        self,
        read: Readable,
        seek: Callable[[int, int], int] | None = None,
        tell: Callable[[], int] | None = None,
    ) -> None:
        self.trouble: Exception | None = None
        self._read = read
        self._seek = seek
        self.tell = tell
        self.seek = None if seek is None else self._sought

    def read(self, size: int) -> bytes:
        """The next bytes; none after an exception."""
        if self.trouble is None:
            try:
                return self._read(size)
            except Exception as error:  # noqa: BLE001 - `check` raises it
                self.trouble = error
        return b""

    def check(self) -> None:
        """Raise the exception that FFmpeg took for the end, if there was one."""
        if self.trouble is not None:
            raise self.trouble

    def _sought(self, offset: int, whence: int) -> int:
        """The new position; -1, FFmpeg's sign of an error, where there is none."""
        if self.trouble is None and self._seek is not None:
            try:
                return self._seek(offset, whence)
            except GlagolError as error:
                self.trouble = error
            except (OSError, ValueError):
                pass  # before the start: the demuxer's own mistake
        return -1


class Sound:
    """Counts what was decoded.

    Args:
        max_seconds: the longest accepted recording; None where its receiver counts the seconds.
    """

    def __init__(self, max_seconds: float | None = None) -> None:
        self._left: float = float("inf")
        if max_seconds is not None:
            self._left = max(SAMPLES_MIN, max_seconds * SAMPLES_PER_ACCEPTED_SECOND)

    def frame(self, rate: int, channels: int, samples: int) -> None:
        """Count one frame: Hz, channels and samples of each.

        Raises:
            InputError: as `check_sound`.
            LimitError: `audio_too_long`.
        """
        check_sound(rate, channels)
        self._left -= samples * channels
        if self._left < 0:
            raise LimitError(
                "audio_too_long",
                "the audio has more samples in all its channels than its seconds may have",
                "convert the recording to 48 kHz or less, or split it",
            )


def check_sound(rate: int, channels: int) -> None:
    """Refuse sample rates and channel counts that no recorder writes.

    Raises:
        InputError: `audio_unreadable`; rate, channels or both are out of range.
    """
    if rate not in RATES:
        raise InputError(
            "audio_unreadable",
            f"the file states {rate} samples per second, {RATES[0]} to {RATES[-1]} are accepted",
            "convert the recording to 16 kHz, or correct the rate in its header",
        )
    if channels > CHANNELS_MAX or rate * channels > SAMPLES_PER_SECOND:
        raise InputError(
            "audio_unreadable",
            f"{channels} channels at {rate} Hz are too many, at most {CHANNELS_MAX} channels and "
            f"{SAMPLES_PER_SECOND} samples per second in all are accepted",
            "lower the rate, or send the channels in several files",
        )


@cache
def bound_memory() -> bool:
    """Let FFmpeg allocate `ALLOCATION_BYTES` at once and no more, in the whole process.

    A kilobyte of MP4 may otherwise state an index of four gigabytes.

    Returns:
        Whether this FFmpeg has such a bound.
    """
    path = av.container.core.__file__
    limit = getattr(ctypes.CDLL(path), "av_max_alloc", None) if path else None
    if limit is None:
        return False
    limit.argtypes, limit.restype = [ctypes.c_size_t], None
    limit(ALLOCATION_BYTES)
    return True
