"""A recording as a browser plays it: Opus in MP4 whose index comes first, and its peaks.

The copy is made from the samples that are transcribed, so a word's time is the same in both.
The recording is decoded twice: the first pass finds its peaks and its length, from which the room
for the index follows; so the copy is written once, from its start to its end.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np
import soxr

from glagol.core.errors import InputError
from glagol.speech.audio.decode import decode
from glagol.speech.audio.jail.wire import End, Kind, Task
from glagol.speech.types import SAMPLE_RATE, Array

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container.output import OutputContainer

    from glagol.speech.audio.decode import Decoded
    from glagol.speech.audio.jail.channel import ChildEnd

__all__ = ["PEAKS_PER_SECOND", "Peaks", "make_copy"]

PEAKS_PER_SECOND = 50
PEAK_SAMPLES = SAMPLE_RATE // PEAKS_PER_SECOND
COPY_RATE = 48_000
"""Hz; at another rate the muxer mistakes the delay of the encoder: all would be 4 ms late."""

COPY_CHANNELS_MAX = 2
"""More are mixed: players know what left and right are."""

PACKETS_PER_SECOND = 50
INDEX_BYTES_PER_PACKET = 6
"""The size of each (4 bytes), and the positions of groups of them."""

INDEX_BYTES_MIN = 1 << 16
ENCODER = {"application": "voip", "compression_level": "2"}
"""Of 10: twice as fast as 10, and the files have the same size."""

PIECE_BYTES = 1 << 18


class Peaks:
    """Lowest and highest sample of every fiftieth of a second, as int8 in 127ths of full scale."""

    def __init__(self) -> None:
        self._rest: Array = np.zeros(0, np.float32)

    def push(self, samples: Array) -> bytes:
        """Pairs that `samples` float32 [n] complete, two bytes each."""
        whole = np.concatenate([self._rest, samples])
        count = len(whole) // PEAK_SAMPLES
        self._rest = whole[count * PEAK_SAMPLES :]
        return _pairs(whole[: count * PEAK_SAMPLES].reshape(count, PEAK_SAMPLES))

    def finish(self) -> bytes:
        """The pair of what is left, if anything is."""
        return _pairs(self._rest[None]) if len(self._rest) else b""


class _Out(io.RawIOBase):
    """Sends what the muxer writes, with its position."""

    def __init__(self, end: ChildEnd) -> None:
        self._end = end
        self._at = self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        for start in range(0, len(data), PIECE_BYTES):
            piece = bytes(data[start : start + PIECE_BYTES])
            self._end.send(Kind.COPY, struct.pack("<Q", self._at) + piece)
            self._at += len(piece)
        self._size = max(self._size, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at


def make_copy(file: BinaryIO, task: Task, end: ChildEnd) -> End:
    """Send the peaks, then the copy.

    Args:
        file: the recording.
        task: its limits, its track and the bit rate of each channel; 0 for peaks alone.
        end: where it is sent.

    Returns:
        Warnings, seconds and channels.

    Raises:
        InputError, LimitError: as `decode`.
    """
    split = _few_channels(file, task)
    peaks, total = Peaks(), 0
    source = _opened(file, task, split=split)
    channels = source.channels
    for block in source:
        end.send(Kind.PEAKS, peaks.push(block.mean(axis=1) if split else block))
        total += len(block)
    end.send(Kind.PEAKS, peaks.finish())
    source.close()
    seconds = total / SAMPLE_RATE
    if not task.bit_rate:
        return End(list(source.warnings), seconds, min(channels, COPY_CHANNELS_MAX))
    index = INDEX_BYTES_MIN + int(seconds * PACKETS_PER_SECOND * INDEX_BYTES_PER_PACKET)
    options = {"movflags": "+use_metadata_tags", "moov_size": str(index)}
    with av.open(_Out(end), "w", format="mp4", options=options) as out:
        stream = out.add_stream("libopus", rate=COPY_RATE, options=dict(ENCODER))
        stream.layout = "stereo" if channels == 2 else "mono"
        stream.bit_rate = task.bit_rate * channels
        _encode(_opened(file, task, split=split), out, stream)
    return End(list(source.warnings), seconds, channels)


def _opened(file: BinaryIO, task: Task, *, split: bool) -> Decoded:
    return decode(file, max_seconds=task.max_seconds, split=split, track=task.track)


def _few_channels(file: BinaryIO, task: Task) -> bool:
    """Whether each channel is kept."""
    try:
        source = _opened(file, task, split=True)
    except InputError as error:
        if error.code != "option_invalid":
            raise
        return False
    source.close()
    return source.channels <= COPY_CHANNELS_MAX


def _encode(source: Iterator[Array], out: OutputContainer, stream: AudioStream) -> None:
    at, channels = 0, stream.layout.nb_channels
    for samples in _resampled(source, channels):
        if not len(samples):
            continue  # FFmpeg takes a frame without samples for a lack of memory
        interleaved = np.ascontiguousarray(samples.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.pts = COPY_RATE, at
        at += len(samples)
        for packet in stream.encode(frame):
            out.mux(packet)
    for packet in stream.encode(None):
        out.mux(packet)


def _resampled(source: Iterator[Array], channels: int) -> Iterator[Array]:
    """float32 [n, channels] at 48 kHz."""
    stream = soxr.ResampleStream(SAMPLE_RATE, COPY_RATE, channels, dtype="float32")
    for block in source:
        yield stream.resample_chunk(block.reshape(-1, channels))
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _pairs(samples: Array) -> bytes:
    """int8 [n, 2] of float32 [n, m]."""
    if not len(samples):
        return b""
    both = np.stack([samples.min(axis=1), samples.max(axis=1)], axis=1)
    return bytes(np.clip(np.rint(both * 127), -127, 127).astype(np.int8))
