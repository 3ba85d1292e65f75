"""Decode any audio file to 16 kHz blocks in constant memory.

FFmpeg (through PyAV) decodes one track (`tracks`, `frames`), its time stamps say where its sound
belongs (`timeline`), the mean of the channels is taken or all are kept (`channels`), libsoxr
resamples (`resample`). What is missing is reported, not refused: what the container states exactly
(`promises`) is compared with what is there, and `findings` makes notices of it.
Only containers and decoders of `glagol.speech.audio.allowed` are used, within the bounds of
`glagol.speech.audio.budget`. The file's name is never used, only its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import av
from av.error import FFmpegError

from glagol.core.errors import InputError, LimitError
from glagol.speech.audio import tracks
from glagol.speech.audio.allowed import options
from glagol.speech.audio.budget import FFmpegFile, Sound, WatchedFile, bound_memory
from glagol.speech.audio.channels import apart, mixed
from glagol.speech.audio.endings import declared_s, ending, loud_track
from glagol.speech.audio.findings import SILENT, Findings, silent
from glagol.speech.audio.frames import Frame, Frames, Wide
from glagol.speech.audio.promises.read import begin, stated
from glagol.speech.audio.resample import resampled
from glagol.speech.audio.timeline import Timeline
from glagol.speech.types import SAMPLE_RATE, Array, Notice

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext as CodecContext

__all__ = ["CHANNELS_MAX", "Decoded", "decode", "probe"]

CHANNELS_MAX = 8
"""Channels that may be kept apart; each costs a pass of the model."""

MIN_SECONDS = 0.1


class Decoded(Iterator[Array]):
    """Blocks of decoded audio at 16 kHz, about a second each: float32 [n] mono, [n, C] if split.

    Attributes:
        declared_s: duration that the container states, None when it states none.
        channels: in a block; 1 unless split.
    """

    declared_s: float | None
    channels: int

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
        self._findings = Findings()
        self._file = WatchedFile(file, cancelled)
        _check_bytes(self._file)
        self._file.skip(begin(self._file))
        self._stated = stated(self._file)
        self._file.skip(self._stated.skip)
        self._file.end = self._stated.end or self._file.end
        self._file.patches = self._stated.patches
        self._max_seconds = max_seconds
        self._source = FFmpegFile(self._file.read, self._file.seek, self._file.tell)
        try:
            accepted = options(searched=self._stated.searched)
            self._container = av.open(self._source, options=accepted)
        except (FFmpegError, ValueError) as error:
            self._source.check()
            _unreadable(error, self._stated.missing or _promised(self._stated.seconds))
        self._source.check()
        self._stream = tracks.chosen(self._container, track)
        tracks.only(self._container, self._stream)
        self._split = split
        context: CodecContext = self._stream.codec_context
        self.channels = context.layout.nb_channels if split else 1
        if self.channels > CHANNELS_MAX:
            _too_many(self.channels)
        self.declared_s = declared_s(self._container, self._stream, self._stated)
        if self.declared_s is not None and self.declared_s > max_seconds:
            _too_long(f"{self.declared_s:.1f} s", max_seconds)
        self._blocks = self._decode()

    @property
    def warnings(self) -> Sequence[Notice]:
        """What was found missing or damaged up to now; complete after the last block."""
        return self._findings.notices()

    def __next__(self) -> Array:
        return next(self._blocks)

    def close(self) -> None:
        """Release the decoder; the file stays open."""
        self._blocks.close()
        self._container.close()

    def _decode(self) -> Generator[Array, None, None]:
        """Resampled blocks, then the checks that need the whole length."""
        total = 0
        frames = Frames(self._container, self._stream, Sound(self._max_seconds), self._file)
        timeline = Timeline(self._container, self._max_seconds, self._findings)
        placed = timeline.place(self._checked(frames))
        if self._split:
            sound = apart(self._alike(placed), self._findings)
        else:
            sound = mixed(placed, self._findings)
        for block in resampled(sound, self.channels if self._split else None):
            total += len(block)
            if total > self._max_seconds * SAMPLE_RATE:
                _too_long("more", self._max_seconds)
            yield block
        self._source.check()
        self._ended(total / SAMPLE_RATE, frames, junk=timeline.dropped)

    def _checked(self, frames: Frames) -> Iterator[Frame]:
        """Frames, as long as the file can be read."""
        for frame in frames:
            self._source.check()
            yield frame
        self._source.check()

    def _alike(self, sound: Iterator[tuple[int, Wide]]) -> Iterator[tuple[int, Wide]]:
        """The sound, as long as its channels are as many as at the beginning."""
        seconds = 0.0
        for rate, samples in sound:
            if samples.shape[1] != self.channels:
                _other_channels(self.channels, samples.shape[1], seconds)
            seconds += len(samples) / rate
            yield rate, samples

    def _ended(self, seconds: float, frames: Frames, *, junk: bool) -> None:
        """Judge the whole.

        Raises:
            InputError: there is no sound, or too little, or most of it is no numbers.
        """
        if seconds == 0:
            _without_samples(self._stated.missing or _promised(self.declared_s), frames.lost)
        if 2 * frames.holes > frames.samples:
            first = next((n.at_s for n in self._findings.notices() if n.at_s is not None), 0.0)
            raise InputError(
                "audio_not_finite",
                f"the samples near {first:.2f} s and most others are not finite (NaN or infinity)",
                "export the recording again; 16-bit PCM cannot hold such values",
            )
        if seconds < MIN_SECONDS:
            raise InputError(
                "audio_too_short",
                f"the audio lasts {seconds:.3f} s, at least {MIN_SECONDS} s are needed",
                "send a longer recording",
            )
        size = self._file.end
        endings = ending(
            self._container, self._stream, self._stated, frames, seconds, size, junk=junk
        )
        self._findings.ended.extend(endings)
        if self._findings.peak <= SILENT:
            self._findings.ended.append(silent(self._silence()))

    def _silence(self) -> str:
        """What is to be said of a track without a sound."""
        own = self._container.streams.audio.index(self._stream)
        others = [at for at in range(len(self._container.streams.audio)) if at != own]
        other = loud_track(self._source, self._file, others) if others else None
        if other is None:
            return "the recording is silent: no sample is above -84 dB of full scale"
        return (
            f"audio track {own} is silent, and track {other} is not: choose it with track={other}"
        )


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
    containers; 1 to 64 channels, 1 to 768 kHz. A sample is where its time stamp says; what is
    missing or damaged is in the `warnings` of what is returned.

    Args:
        file: seekable binary file, positioned anywhere; it is not closed.
        max_seconds: longest accepted duration, seconds.
        split: keep the channels apart, at most 8, instead of taking their mean.
        track: which audio track, from 0; None for the container's default, else the first one
            that can be decoded.
        cancelled: asked at each access to the file and each packet; True stops the work.

    Returns:
        An iterator of blocks at 16 kHz, float32 [n], or [n, C] if split, values in [-1, 1] up to
        resampling ripple. A channel's samples are those that it would have alone in a file.

    Raises:
        InputError: audio_empty, audio_without_sound, option_invalid (too many channels, no such
            track) here; audio_unreadable, audio_truncated (nothing can be decoded),
            audio_not_finite, audio_too_short, audio_empty here or while iterating.
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
        Seconds that the container states; None when it states none.

    Raises:
        InputError, LimitError, HostError: what `decode` raises before its first block.
    """
    source = decode(file, max_seconds=max_seconds, split=split, track=track, cancelled=cancelled)
    source.close()
    file.seek(0)
    return source.declared_s


def _check_bytes(file: WatchedFile) -> None:
    if not file.read(1):
        raise InputError(
            "audio_empty", "the file is empty (0 bytes)", "check the upload or the recorder"
        )


def _promised(seconds: float | None) -> str:
    return f"{seconds:.2f} s are promised, none is there" if seconds else ""


def _without_samples(missing: str, lost: int) -> NoReturn:
    if missing:
        _nothing_left(missing)
    if lost:
        raise InputError(
            "audio_unreadable",
            f"none of the sound can be decoded: {lost} packets are damaged",
            "copy or upload the file again, or convert it to WAV, for example with ffmpeg",
        )
    raise InputError(
        "audio_empty", "the file holds no sound (0 samples)", "send a recording with sound"
    )


def _nothing_left(missing: str) -> NoReturn:
    raise InputError(
        "audio_truncated",
        f"the audio ends before any sound can be decoded: {missing}",
        "copy or upload the file again, or repair it with ffmpeg",
    )


def _unreadable(error: Exception, missing: str) -> NoReturn:
    if missing:
        _nothing_left(missing)
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


def _too_long(length: str, max_seconds: float) -> NoReturn:
    raise LimitError(
        "audio_too_long",
        f"the audio is longer than the limit: {length}, at most {max_seconds:g} s are accepted",
        "split the recording, or ask the operator to raise the limit",
    )
