"""Transcribe live audio: finals, partial results, and the whole at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.pipeline.channel_decoder import spoken
from glagol.speech.text.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from glagol.speech.pipeline.channel_decoder import ChannelDecoder
    from glagol.speech.pipeline.channels import ChannelStream, UnfinishedSpeech
    from glagol.speech.segmentation.cutter import Cutter
    from glagol.speech.types import Array, Notice, Options, Segment, Transcript

__all__ = ["LIVE_FRAMES", "Live"]

LIVE_FRAMES = 8
"""Frames per call of the voice activity model: a pause is noticed within 0.26 s."""


class Live:
    """One live transcription; made by `Recognizer.live`.

    The finals are the segments that the same samples have in a file which is transcribed with
    `short_audio_s=0`, however the samples are divided: both ways are one code.

    Args:
        stream: fresh, of one channel.
        decoder: what recognises its windows.
        whole: makes the transcript of all segments and the digest of the audio.
        options: what the caller chose.
    """

    def __init__(
        self,
        stream: ChannelStream[Cutter],
        decoder: ChannelDecoder,
        whole: Callable[[tuple[Segment, ...], str | None], Transcript],
        options: Options,
    ) -> None:
        self._stream = stream
        self.decoder = decoder
        self._whole = whole
        self._options = options
        self._writer = Writer(options)

    @property
    def total(self) -> int:
        """Samples taken so far."""
        return self._stream.cutter.total

    def push(self, samples: Array) -> Iterator[Segment]:
        """Take the next samples float32 [n] at 16 kHz; give the segments that are final now."""
        for segments in self._stream.push(samples):
            yield from self._final(segments)

    def open(self) -> UnfinishedSpeech | None:
        """What a partial result needs during speech; None in silence."""
        return self._stream.open()

    def finish(self) -> Iterator[Segment]:
        """The audio is over: the remaining finals."""
        for segments in self._stream.finish():
            yield from self._final(segments)
        yield from self._final([], last=True)

    def transcript(
        self,
        finals: tuple[Segment, ...] = (),
        audio_sha256: str | None = None,
        warnings: Sequence[Notice] = (),
    ) -> Transcript:
        """The whole, after `finish`: what was covered and what made it, around `finals`.

        They are not kept here, since a stream may be long; nor are `warnings` of its sound.
        """
        whole = self._whole(finals, audio_sha256)
        return replace(whole, warnings=(*warnings, *whole.warnings))

    def _final(self, segments: list[Segment], *, last: bool = False) -> Iterator[Segment]:
        language = spoken([self.decoder], self._options)
        for segment in self._writer.push(segments, language, last=last):
            yield segment if self._options.word_timestamps else replace(segment, words=())
