"""Any audio file to 16 kHz blocks, with memory that does not grow with the file.

FFmpeg (through PyAV) decodes, the mean of the channels is taken or all are kept, libsoxr resamples
as a stream, each channel as if it were alone.
Only containers and decoders of `glagol.speech.audio.allowed` are used, within the bounds of
`glagol.speech.audio.budget`. The file's name is never looked at, only its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import av
import numpy as np
import soxr
from av.error import FFmpegError

from glagol.core.errors import InputError, LimitError
from glagol.speech.audio.allowed import DECODERS, options
from glagol.speech.audio.budget import FFmpegFile, Sound, WatchedFile, bound_memory, check_sound
from glagol.speech.audio.containers import cut_off, promises_length, sound_end
from glagol.speech.types import SAMPLE_RATE, Array, Notice

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext as CodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

CHANNELS_MAX = 8
"""Channels that may be kept apart; each costs a pass of the model."""

MIN_SECONDS = 0.1
MISSING_SECONDS = 0.15
"""Decoded audio may be this much shorter than promised: encoder delay, rounding."""

RESYNCHRONISING = frozenset({"mp3"})
"""Formats whose decoders skip damaged packets, as every player does."""

SKIPPED_SECONDS = 1.0
"""What may be missing where damage is skipped."""

GATHERED_MAX = 192_000
"""Samples of each channel that are resampled at once: memory does not grow with a stated rate."""

FULL_SCALE = {"u8": 128.0, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}
"""Divisors by FFmpeg sample format; 24-bit sound arrives in the upper bits of s32."""


class Decoded(Iterator[Array]):
    """Blocks of decoded audio at 16 kHz, about a second each: float32 [n] mono, [n, C] if split.

    Attributes:
        declared_s: duration that the container promises, None when it does not know.
        channels: in a block; 1 unless split.
        warnings: what was found missing or damaged up to now.
    """

    declared_s: float | None
    channels: int
    warnings: Sequence[Notice]

    def __init__(
        self,
        file: BinaryIO,
        max_seconds: float,
        *,
        split: bool = False,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        bound_memory()
        self.warnings = []
        self._file = WatchedFile(file, cancelled)
        _check_bytes(self._file)
        self._file.end = sound_end(self._file) or self._file.end
        self._max_seconds = max_seconds
        self._sound = Sound(max_seconds)
        self._source = FFmpegFile(self._file.read, self._file.seek, self._file.tell)
        try:
            self._container = av.open(self._source, options=options())
        except (FFmpegError, ValueError) as error:
            self._source.check()
            _unreadable(error)
        self._source.check()
        name = self._container.format.name
        if not self._container.streams.audio:
            raise InputError(
                "audio_without_sound",
                f"the {name} file has no audio stream",
                "send a file with a sound track",
            )
        self._stream = _chosen(self._container, track)
        check_stream(self._stream)
        self._split = split
        self.channels = _channels(self._stream) if split else 1
        if self.channels > CHANNELS_MAX:
            _too_many(self.channels)
        self._tolerant = name in RESYNCHRONISING
        exact = promises_length(self._file, name, len(self._container.streams))
        self.declared_s = _declared(self._container, self._stream) if exact else None
        if self.declared_s is not None and self.declared_s > max_seconds:
            _too_long(f"{self.declared_s:.1f} s", max_seconds)
        self._blocks = self._decode()

    def __next__(self) -> Array:
        return next(self._blocks)

    def close(self) -> None:
        """Release the decoder; the file stays open."""
        self._blocks.close()
        self._container.close()

    def _decode(self) -> Generator[Array, None, None]:
        """Resampled blocks, then the checks that need the whole length."""
        total = 0
        for block in resampled(self._frames(), self.channels if self._split else None):
            total += len(block)
            if total > self._max_seconds * SAMPLE_RATE:
                _too_long("more", self._max_seconds)
            yield block
        seconds = total / SAMPLE_RATE
        allowed = SKIPPED_SECONDS if self._tolerant else MISSING_SECONDS
        if self.declared_s is not None and self.declared_s - seconds > allowed:
            _truncated(f"{self.declared_s:.2f} s are promised, {seconds:.2f} s are there")
        if total == 0:
            raise InputError(
                "audio_empty", "the file holds no sound (0 samples)", "send a recording with sound"
            )
        if seconds < MIN_SECONDS:
            raise InputError(
                "audio_too_short",
                f"the audio lasts {seconds:.3f} s, at least {MIN_SECONDS} s are needed",
                "send a longer recording",
            )

    def _frames(self) -> Iterator[tuple[int, Array]]:
        """Decoded frames as (rate in Hz, float32 [n] or [n, C])."""
        position = 0.0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                self._source.check()
                if packet is None:
                    return
                self._file.call()
                frames = packet.decode()
            except FFmpegError as error:
                self._source.check()
                if self._tolerant:
                    continue
                _truncated(f"the decoder failed after {position:.2f} s ({error.strerror})")
            for frame in frames:
                self._sound.frame(frame.sample_rate, frame.layout.nb_channels, frame.samples)
                self._file.progress()
                if self._split and frame.layout.nb_channels != self.channels:
                    _other_channels(self.channels, frame.layout.nb_channels, position)
                samples = samples_of(frame, position, split=self._split)
                position += len(samples) / frame.sample_rate
                yield frame.sample_rate, samples


def decode(
    file: BinaryIO,
    *,
    max_seconds: float,
    split: bool = False,
    track: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Decoded:
    """Decode audio as a stream.

    WAV, FLAC, MP3, Ogg/Opus/Vorbis, M4A/MP4, AAC, WebM/Matroska and the sound of common video
    containers; 1 to 64 channels, 1 to 768 kHz.

    Args:
        file: seekable binary file, positioned anywhere; it is not closed.
        max_seconds: longest accepted duration, seconds.
        split: keep the channels apart, at most 8, instead of taking their mean.
        track: which audio track, from 0; None for the first one.
        cancelled: asked at each access to the file and each packet; True stops the work.

    Returns:
        An iterator of blocks at 16 kHz, float32 [n], or [n, C] if split, values in [-1, 1] up to
        resampling ripple. A channel's samples are those that it would have alone in a file.

    Raises:
        InputError: audio_empty, audio_without_sound, option_invalid (too many channels) here;
            audio_unreadable, audio_truncated, audio_not_finite, audio_too_short, audio_empty here
            or while iterating.
        LimitError: audio_too_long, here when the container knows its duration, else at the limit.
        HostError: cancelled, here or while iterating.
    """
    return Decoded(file, max_seconds, split=split, track=track, cancelled=cancelled)


def probe(
    file: BinaryIO,
    *,
    max_seconds: float,
    split: bool = False,
    track: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> float | None:
    """Open audio without decoding it, so that what is wrong with its header is said early.

    Args:
        file: seekable binary file; it is left open, at its start.
        max_seconds: longest accepted duration, seconds.
        split: whether the channels will be kept apart.
        track: as in `decode`.
        cancelled: as in `decode`.

    Returns:
        Seconds that the container promises; None when it does not know.

    Raises:
        InputError, LimitError, HostError: what `decode` raises before its first block.
    """
    source = decode(file, max_seconds=max_seconds, split=split, track=track, cancelled=cancelled)
    source.close()
    file.seek(0)
    return source.declared_s


def _check_bytes(file: WatchedFile) -> None:
    file.seek(0)
    if not file.read(1):
        raise InputError(
            "audio_empty", "the file is empty (0 bytes)", "check the upload or the recorder"
        )
    missing = cut_off(file)
    if missing:
        _truncated(missing)


def check_stream(stream: AudioStream) -> None:
    """Refuse a stream before anything decodes it.

    Raises:
        InputError: audio_unreadable; its codec is not accepted, or its rate or channels.
    """
    context: CodecContext | None = stream.codec_context
    name = "unknown" if context is None else context.name
    if context is None or name not in DECODERS:
        raise InputError(
            "audio_unreadable",
            f"the sound is in the codec {name}, which is not accepted",
            "convert the recording to WAV, FLAC or Opus, for example with ffmpeg",
        )
    context.options = {"max_samples": options()["max_samples"]}
    if context.sample_rate:  # else the first frame says it
        check_sound(context.sample_rate, context.layout.nb_channels)


def _chosen(container: av.container.InputContainer, track: int | None) -> AudioStream:
    streams = container.streams.audio
    chosen = track or 0
    if not 0 <= chosen < len(streams):
        raise InputError(
            "option_invalid",
            f"there is no audio track {chosen}, the file has {len(streams)}",
            "choose one from 0, or leave the option out",
        )
    found: AudioStream = streams[chosen]
    return found


def _channels(stream: AudioStream) -> int:
    context: CodecContext = stream.codec_context
    return context.layout.nb_channels


def _declared(container: av.container.InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def samples_of(frame: AudioFrame, position: float, *, split: bool) -> Array:
    """One frame limited to full scale: the mean of its channels float32 [n], or all [n, C].

    Args:
        frame: any sample format.
        position: where it is, seconds, for the message.
        split: keep the channels apart.

    Raises:
        InputError: audio_not_finite.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    name = frame.format.name.removesuffix("p")
    offset = 128.0 if name == "u8" else 0.0
    exact = samples.T.astype(np.float64) if split else samples.mean(axis=0, dtype=np.float64)
    exact = (exact - offset) / FULL_SCALE[name]
    if not np.isfinite(exact).all():
        raise InputError(
            "audio_not_finite",
            f"the samples near {position:.2f} s are not finite numbers (NaN or infinity)",
            "export the recording again; 16-bit PCM cannot hold such values",
        )
    limited: Array = np.clip(exact, -1.0, 1.0).astype(np.float32)
    return limited


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


def _unreadable(error: Exception) -> NoReturn:
    raise InputError(
        "audio_unreadable",
        "the bytes are not in an audio format that can be decoded",
        "send WAV, FLAC, MP3, Ogg/Opus, M4A/AAC or WebM",
    ) from error


def _too_many(channels: int) -> NoReturn:
    raise InputError(
        "option_invalid",
        f"the file has {channels} channels, channel=split takes at most {CHANNELS_MAX}",
        "use channel=mix, or send the channels in several files",
    )


def _other_channels(before: int, after: int, position: float) -> NoReturn:
    raise InputError(
        "audio_unreadable",
        f"the number of channels changes from {before} to {after} near {position:.2f} s",
        "use channel=mix, or convert the recording to WAV",
    )


def _truncated(what: str) -> NoReturn:
    raise InputError(
        "audio_truncated",
        f"the audio ends in the middle: {what}",
        "copy or upload the file again, or repair it with ffmpeg",
    )


def _too_long(length: str, max_seconds: float) -> NoReturn:
    raise LimitError(
        "audio_too_long",
        f"the audio is longer than the limit: {length}, at most {max_seconds:g} s are accepted",
        "split the recording, or ask the operator to raise the limit",
    )
