"""Transcription in three parts that may run in different processes: cut, recognise, join.

One pass over a recording (`windows`) finds everything that is computed once for it: time
stamps, voice activity, where it is cut, speakers, coverage. Its windows can then be recognised
anywhere and, as far as the engine says so (`Decoding.independent`), in any order. `joined` gives
the transcript that `Recognizer.transcribe` gives, byte for byte.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from glagol.speech.pipeline.blocks import opening, watched
from glagol.speech.pipeline.channel_decoder import ChannelDecoder
from glagol.speech.pipeline.channels import ChannelStream, DialogueMerger
from glagol.speech.pipeline.speaking import spoken, tapped
from glagol.speech.pipeline.whole import ruled, uncut_s, whole
from glagol.speech.segmentation.cutter import Cutter, Piece
from glagol.speech.speakers.tell import diarization

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from glagol.runtime.session import Interrupt
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.engines.base import Hypothesis, Request, Traits
    from glagol.speech.pipeline.speaking import Speakers
    from glagol.speech.segmentation.planner import Chunk, Rule
    from glagol.speech.speakers.types import Diarization
    from glagol.speech.types import Array, Notice, Options, Provenance, Transcript
    from glagol.speech.vad.families import Detector

__all__ = ["Cut", "Cutting", "Plan", "Window", "joined", "windows"]

T = TypeVar("T")
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Cutting:
    """What cuts recordings for an engine; shared by threads.

    Attributes:
        vad: finds speech.
        rule: how long audio is cut for the engine.
        traits: of the engine.
        speakers: finds out who speaks.
    """

    vad: Detector
    rule: Rule
    traits: Traits
    speakers: Speakers


@dataclass(frozen=True, slots=True)
class Window:
    """Audio for one call of the engine.

    Attributes:
        channel: of the recording, from 0.
        samples: float32 [n] at 16 kHz, at most as long as the engine's window.
    """

    channel: int
    samples: Array


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one channel was cut; positions in samples (see `glagol.speech.pipeline.whole`)."""

    chunks: tuple[Chunk, ...]
    total: int
    decoded: int
    dropped: int
    used_vad: bool
    plan_sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A recording without its words.

    Attributes:
        cuts: of each channel.
        warnings: what the recording lacks.
        diarization: who speaks when; None when it was not asked for.
    """

    cuts: tuple[Cut, ...]
    warnings: tuple[Notice, ...]
    diarization: Diarization | None


def windows(
    cutting: Cutting,
    source: AudioSource,
    options: Options,
    cancelled: Callable[[], bool] | None = None,
) -> Generator[Window, None, Plan]:
    """Cut a recording in one pass, with memory that does not grow with it.

    Args:
        cutting: what cuts.
        source: the opened recording; it is closed.
        options: what the caller chose, as `glagol.speech.pipeline.options.granted` gives them.
        cancelled: asked between blocks; True stops the work.

    Yields:
        The windows of all channels; those of one channel in their order. The generator's return
        value is the plan.

    Raises:
        InputError, LimitError: the audio is wrong; with `strict` by the code of a notice.
        HostError: `cancelled`; `speakers_missing`, the model that finds speakers is not here.
    """
    with closing(source):
        model = cutting.speakers.model() if options.speakers is not None else None
        diarizer = model.begin() if model is not None else None
        both = source if diarizer is None else tapped(source, diarizer)
        for _ in opening(both, cancelled):
            pass
        split = options.channel == "split"
        short_s = 0.0 if cutting.traits.needs_speech else uncut_s(options)
        rule = ruled(cutting.rule, options)
        channels = [
            _Channel(number, Cutter(cutting.vad, rule=rule, short_s=short_s))
            for number in range(both.channels)
        ]
        for block in watched(both, cancelled, strict=options.strict):
            if block is None:
                continue
            for channel, samples in zip(channels, block.T if split else [block], strict=True):
                yield from channel.kept(channel.cutter.push(np.ascontiguousarray(samples)))
        for channel in channels:
            yield from channel.kept(channel.cutter.finish())
        found = None
        if diarizer is not None and model is not None and options.speakers is not None:
            found = diarization(diarizer.finish(options.speakers), model, options.speakers)
        return Plan(tuple(channel.cut() for channel in channels), tuple(both.warnings), found)


def joined(
    plan: Plan,
    hypotheses: Sequence[Sequence[Hypothesis]],
    rule: Rule,
    options: Options,
    provenance: Provenance,
    audio_sha256: str | None,
) -> Transcript:
    """The transcript of a recording that was planned.

    Args:
        plan: what `windows` returned.
        hypotheses: for each channel those of its windows, in their order.
        rule: with which it was cut.
        options: with which it was cut.
        provenance: what the engine and the voice activity model are known by.
        audio_sha256: digest of the recording's file.
    """
    wide = options if plan.diarization is None else replace(options, word_timestamps=True)
    decoders = [ChannelDecoder(_Recognised(iter(each))) for each in hypotheses]
    split = options.channel == "split"
    turns = DialogueMerger()
    segments = []
    for number, (cut, decoder) in enumerate(zip(plan.cuts, decoders, strict=True)):
        again = _Again(cut)
        channel = number if split else None
        stream = ChannelStream(again, decoder, rule=ruled(rule, options), channel=channel)
        for found in stream.finish():
            segments += turns.push(found, [0.0] * len(plan.cuts))
    segments += turns.finish()
    if not wide.word_timestamps:
        segments = [replace(segment, words=()) for segment in segments]
    transcript = whole(provenance, tuple(segments), plan.cuts, wide, decoders, audio_sha256)
    transcript = replace(transcript, warnings=(*plan.warnings, *transcript.warnings))
    return spoken(transcript, plan.diarization, options) if plan.diarization else transcript


@dataclass(slots=True)
class _Channel:
    number: int
    cutter: Cutter
    chunks: list[Chunk] = field(default_factory=list)

    def kept(self, pieces: Iterator[Piece | None] | Iterator[Piece]) -> Iterator[Window]:
        for piece in pieces:
            if piece is not None:
                self.chunks.append(piece.chunk)
                yield Window(self.number, piece.samples)

    def cut(self) -> Cut:
        c = self.cutter
        return Cut(tuple(self.chunks), c.total, c.decoded, c.dropped, c.used_vad, c.plan_sha256)


@dataclass(frozen=True, slots=True)
class _Again:
    """The pieces of a channel once more, as a `ChannelStream` reads them; without samples."""

    cut: Cut
    needed: int = 0

    @property
    def total(self) -> int:
        return self.cut.total

    def push(self, samples: Array) -> Iterator[Piece | None]:
        raise AssertionError(f"{len(samples)} samples after the end")

    def finish(self) -> Iterator[Piece]:
        for chunk in self.cut.chunks:
            yield Piece(chunk, _NOTHING)

    def open(self) -> Array:
        return _NOTHING


@dataclass(frozen=True, slots=True)
class _Recognised:
    """A decoding whose windows were recognised before, elsewhere."""

    hypotheses: Iterator[Hypothesis]

    @property
    def independent(self) -> Request | None:
        return None

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        del samples, stop
        return next(self.hypotheses)
