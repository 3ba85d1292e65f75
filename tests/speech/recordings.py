"""Recordings as people have them, made by PyAV: packets are lost, late, spoilt, joined and cut."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np

from speech.made import RATE, Samples

BURST_S = 0.04
BURSTS = (0.4, 1.1, 2.2)
"""When the bursts of `bursts` begin: no two distances between them are alike."""

SECONDS = 2.8
PICTURES_PER_SECOND = 5

PICTURES = {"mp4": "mpeg4", "mov": "mpeg4", "matroska": "mpeg4", "mpegts": "mpeg2video"}
PICTURES |= {"flv": "flv", "avi": "mpeg4", "vob": "mpeg2video", "asf": "mpeg4"}
"""Codec of the pictures beside the sound, by container."""


@dataclass(frozen=True)
class Make:
    """How a recording is made; seconds are those of the sound.

    Attributes:
        form: FFmpeg's name of the muxer.
        codec: FFmpeg's name of the encoder.
        rate: Hz.
        late_s: how much later than the picture the sound begins.
        pause: from which second on how many seconds are added to time stamps.
        lost: packets between these seconds are not there.
        spoilt: packets between these seconds hold something else.
        jitter_s: how much stamps are off, up and down by turns.
        picture: whether there is one.
        options: of the muxer.
    """

    form: str
    codec: str
    rate: int
    late_s: float = 0.0
    pause: tuple[float, float] = (0.0, 0.0)
    lost: tuple[float, float] = (0.0, 0.0)
    spoilt: tuple[float, float] = (0.0, 0.0)
    jitter_s: float = 0.0
    picture: bool = False
    options: tuple[tuple[str, str], ...] = ()


def bursts(
    rate: int = RATE, *, seconds: float = SECONDS, at: tuple[float, ...] = BURSTS
) -> Samples:
    """A 1 kHz tone of 40 ms at each of some seconds, silence between, float32 [n]."""
    time = np.arange(round(seconds * rate)) / rate
    envelope = np.zeros(len(time))
    for start in at:
        envelope += (time >= start) & (time < start + BURST_S)
    return (0.5 * envelope * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32)


def bursts_at(samples: Samples) -> list[float]:
    """When bursts begin in samples at 16 kHz, seconds."""
    size = RATE // 200
    whole = np.abs(samples[: len(samples) // size * size]).reshape(-1, size).max(axis=1, initial=0)
    loud = np.concatenate([[False], whole > max(0.1, 0.35 * whole.max(initial=0))])
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) * size / RATE
    return [float(s) for n, s in enumerate(starts) if n == 0 or s - starts[n - 1] > 3 * BURST_S]


def recording(make: Make, *tracks: Samples, default: int | None = None) -> bytes:
    """A file with the tracks, float32 [n] or [n, channels] each.

    Args:
        make: how.
        tracks: at least one, at `make.rate`.
        default: which of them has the default flag; None leaves the flags to the muxer.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=make.form, options=dict(make.options)) as output:
        streams = [_audio(output, make, track) for track in tracks]
        if default is not None:
            for number, stream in enumerate(streams):
                stream.disposition = av.stream.Disposition.default if number == default else 0
        video = _video(output, make) if make.picture else None
        length = max(len(track) for track in tracks) / make.rate
        packets = [p for s, t in zip(streams, tracks, strict=True) for p in _packets(make, s, t)]
        if video is not None:
            packets += _pictures(video, length + make.late_s + make.pause[1])
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        for packet in packets:
            output.mux(packet)
    return file.getvalue()


def cut(data: bytes, share: float) -> bytes:
    """The first part of a file."""
    return data[: round(share * len(data))]


def without(make: Make) -> Make:
    """The same recording with nothing wrong."""
    return Make(make.form, make.codec, make.rate, picture=make.picture, options=make.options)


def _audio(output: Any, make: Make, samples: Samples) -> Any:
    options = {"strict": "-2"} if make.codec == "vorbis" else {}
    stream = output.add_stream(make.codec, rate=make.rate, options=options)
    two = samples.ndim == 2 or make.codec == "vorbis"
    stream.layout = "stereo" if two else "mono"
    if make.codec in ("wmav2", "wmav1"):
        stream.bit_rate = 96_000
    return stream


def _packets(make: Make, stream: Any, samples: Samples) -> list[Any]:
    """Encoded, and treated as `make` says."""
    context = stream.codec_context
    context.open(strict=False)
    planes = np.atleast_2d(samples.T)
    if context.layout.nb_channels > len(planes):
        planes = np.repeat(planes, context.layout.nb_channels, axis=0)
    layout = context.layout.name
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = make.rate, 0, Fraction(1, make.rate)
    resampler = av.AudioResampler(context.format, layout, make.rate, context.frame_size or 1_024)
    blocks = [*resampler.resample(frame), *resampler.resample(None)]
    found = [p for block in (*blocks, None) for p in stream.encode(block)]
    return [treated for number, p in enumerate(found) for treated in _treated(make, p, number)]


def _treated(make: Make, packet: Any, number: int) -> list[Any]:
    if packet.pts is None:
        return [packet]
    at = float(packet.pts * packet.time_base)
    if make.lost[0] <= at < make.lost[1]:
        return []
    if make.spoilt[0] <= at < make.spoilt[1]:
        packet = _spoilt(packet)
    shift = make.late_s + (make.pause[1] if make.pause[1] and at >= make.pause[0] else 0.0)
    shift += make.jitter_s * (number % 2)
    ticks = round(shift / packet.time_base)
    packet.pts += ticks
    packet.dts = packet.pts
    return [packet]


def _spoilt(packet: Any) -> Any:
    junk = np.random.default_rng(packet.size).integers(0, 256, packet.size, np.uint8).tobytes()
    other = av.Packet(junk)
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.time_base, other.stream = packet.time_base, packet.stream
    return other


def _video(output: Any, make: Make) -> Any:
    video = output.add_stream(PICTURES[make.form], rate=25)
    video.width = video.height = 32
    video.pix_fmt = "yuv420p"
    return video


def _pictures(video: Any, seconds: float) -> list[Any]:
    """A black picture each fifth of a second."""
    found = []
    black = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")
    for number in range(round(seconds * PICTURES_PER_SECOND)):
        black.pts, black.time_base = number * 25 // PICTURES_PER_SECOND, Fraction(1, 25)
        found += video.encode(black)
    return [*found, *video.encode(None)]


__all__ = ["BURSTS", "Make", "bursts", "bursts_at", "cut", "recording", "replace", "without"]
