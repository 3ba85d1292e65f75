"""Decode packets of one track to frames with time stamps; count packets that fail.

A bad packet loses only its own sound: hours of sound are not refused for one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

    from glagol.speech.audio.budget import Sound

__all__ = ["Frame", "Frames", "Watch", "Wide"]

Wide: TypeAlias = "npt.NDArray[np.float64]"
"""Samples as they were decoded, without a loss, [n, channels]."""

FULL_SCALE = {"u8": 128.0, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}
"""Divisors by FFmpeg sample format; 24-bit sound arrives in the upper bits of s32."""

LOUDEST = 1e6
"""Of a sample of a float; what is larger, or NaN, is damage."""

TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""Of samples by FFmpeg sample format, in the byte order of the machine."""

DEMUXER_ERRORS_MAX = 100
"""In a row, without a frame between them."""

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS", b"Xing", b"Info", b"VBRI")
"""What stands between two MP3 files that were joined; it is no sound."""

TAG_BYTES = 64

FRAME_BYTES = 8
"""Less is padding that stands behind the last frame, or nothing."""


class Watch(Protocol):
    """Whatever is asked while a recording is read."""

    def call(self) -> None:
        """Count a step; it raises when the work must end."""

    def progress(self) -> None:
        """There was sound."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Decoded samples.

    Attributes:
        rate: Hz.
        samples: float64 [n, channels], full scale is 1.
        stamp: when the first one is due, seconds by the container's clock; None when unknown.
        lost: whether packets before it could not be decoded.
        lost_s: how long those say they are, seconds.
        hole_s: how much of it was no number, and is silence now, seconds.
        hole_at_s: where the first of those samples is, seconds from the first sample.
    """

    rate: int
    samples: Wide
    stamp: float | None
    lost: bool = False
    lost_s: float = 0.0
    hole_s: float = 0.0
    hole_at_s: float = 0.0


class Frames:
    """Iterates over the frames of a track.

    Args:
        container: opened.
        stream: one of its audio streams, checked.
        sound: counts samples.
        watch: counts steps.
        check: raises what ended the bytes for FFmpeg.

    Attributes:
        lost: packets since the last frame that could not be decoded.
        lost_s: how long those say they are, seconds.
        broken: whether the demuxer found something else than packets since the last frame.
        samples: how many there were in all channels.
        holes: how many of them were no numbers.
        end: where the last frame's packet ends, bytes; 0 when that is unknown.
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, sound: Sound, watch: Watch
    ) -> None:
        self._container = container
        self._stream = stream
        self._sound = sound
        self._watch = watch
        self._tag = False
        self._tags_s = 0.0
        self._counted = container.format.name == "mp3"  # its stamps count packets, tags too
        self.samples = 0
        self.holes = 0
        self.lost = 0
        self.lost_s = 0.0
        self.broken = False
        self.end = 0

    def __iter__(self) -> Iterator[Frame]:
        """Frames in their order.

        Raises:
            InputError: audio_unreadable.
            LimitError: audio_too_long.
        """
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except (FFmpegError, EOFError):
                self._note(packet)
                continue
            for frame in cast("list[AudioFrame]", decoded):
                self._watch.progress()
                if not self._counts(frame):
                    self._note(packet)
                    break
                if frame.samples:
                    yield self._framed(frame)
                    self.end = packet.pos + packet.size if packet.pos else self.end

    def _counts(self, frame: AudioFrame) -> bool:
        """Count a frame; behind sound one that no recorder writes is junk, and does not count."""
        try:
            self._sound.frame(frame.sample_rate, frame.layout.nb_channels, frame.samples)
        except InputError:
            if not self.samples:
                raise
            return False
        return True

    def _packets(self) -> Iterator[Packet[Any]]:
        """Packets of the track, beyond errors of the demuxer; the last one is empty."""
        errors = 0
        while errors < DEMUXER_ERRORS_MAX:
            try:
                for packet in self._container.demux(self._stream):
                    self._watch.call()
                    errors = 0
                    yield packet
            except (FFmpegError, IndexError) as error:  # a stream that PyAV does not know yet
                self._watch.call()
                errors += 1
                self.broken |= not isinstance(error, BlockingIOError)  # padding behind the end
            else:
                return

    def _note(self, packet: Packet[Any]) -> None:
        """Count a packet that could not be decoded, unless it is a tag between frames."""
        if packet.size < FRAME_BYTES:
            return
        head = bytes(packet)[:TAG_BYTES] if not self.lost else b""
        self._tag |= any(mark in head for mark in TAGS)
        ticks, base = packet.duration, packet.time_base
        duration = float(ticks * base) if ticks and base else 0.0
        if self._tag:
            self._tags_s += duration if self._counted else 0.0
            return
        self.lost += 1
        self.lost_s += duration

    def _framed(self, frame: AudioFrame) -> Frame:
        stamp = None
        if frame.pts is not None and frame.time_base is not None:
            stamp = float(frame.pts * frame.time_base) - self._tags_s
        samples, holes, first = _numbers(_samples(frame))
        found = Frame(
            frame.sample_rate,
            samples,
            stamp,
            self.broken or self.lost > 0,
            self.lost_s,
            holes / samples.shape[1] / frame.sample_rate,
            first / frame.sample_rate,
        )
        self.samples += samples.size
        self.holes += holes
        self.lost, self.lost_s, self.broken, self._tag = 0, 0.0, False, False
        return found


def _samples(frame: AudioFrame) -> Wide:
    """All channels of a frame of any sample format, float64 [n, C], full scale is 1."""
    channels, name = frame.layout.nb_channels, frame.format.name.removesuffix("p")
    planar = frame.format.is_planar
    planes = frame.planes[: channels if planar else 1]  # PyAV counts one too many of 8 channels
    count = frame.samples * (1 if planar else channels)
    raw = [np.frombuffer(memoryview(plane), TYPES[name], count) for plane in planes]
    samples = np.stack(raw, axis=1) if planar else raw[0].reshape(-1, channels)
    offset = 128.0 if name == "u8" else 0.0
    with np.errstate(invalid="ignore"):  # NaN that signals
        exact: Wide = (samples.astype(np.float64) - offset) / FULL_SCALE[name]
    return exact


def _numbers(samples: Wide) -> tuple[Wide, int, int]:
    """The samples with silence for what is no number; how many of those there are; the first one.

    The place of the first is 0 where there is none.
    """
    good = np.abs(samples) <= LOUDEST
    if good.all():
        return samples, 0, 0
    first = int(np.argmin(good.all(axis=1)))
    return np.where(good, samples, 0.0), int(good.size - np.count_nonzero(good)), first
