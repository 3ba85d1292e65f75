"""Transcribe in three steps that may run in different processes: cut, recognise, join.

`windows` reads the recording once and computes everything that is computed once for it: time
stamps, voice activity, the cuts, speakers, coverage. Its windows can then be recognised in any
process and, if the engine allows it (`Decoding.independent`), in any order. `joined` returns the
same transcript as `Recognizer.transcribe`, byte for byte.
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
    """The models and rules by which recordings are cut for an engine; shared by threads.

    Attributes:
        vad: the detector of speech.
        rule: how long audio is cut into windows.
        traits: the properties of the engine.
        speakers: the model that finds the speakers, opened when it is needed.
    """

    vad: Detector
    rule: Rule
    traits: Traits
    speakers: Speakers


@dataclass(frozen=True, slots=True)
class Window:
    """Audio for one call of the engine.

    Attributes:
        channel: number of the channel, from 0.
        samples: float32 [n] at 16 kHz, at most as long as the engine's window.
    """

    channel: int
    samples: Array


@dataclass(frozen=True, slots=True)
class Cut:
    """The cuts of one channel; positions are in samples (see `glagol.speech.pipeline.whole`)."""

    chunks: tuple[Chunk, ...]
    total: int
    decoded: int
    dropped: int
    used_vad: bool
    plan_sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a transcript needs except the recognised words.

    Attributes:
        cuts: the cuts of each channel.
        warnings: notices about missing or damaged audio.
        diarization: the speakers' turns; None when speakers were not requested.
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
    """Cut a recording into windows in one pass; memory does not grow with its length.

    Args:
        cutting: models and rules.
        source: the opened recording; it is closed at the end.
        options: the caller's options, as `glagol.speech.pipeline.options.granted` returns them.
        cancelled: called between blocks; True stops the work.

    Yields:
        The windows of all channels; those of one channel in their order. The generator's return
        value is the plan.

    Raises:
        InputError, LimitError: the audio is wrong; with `strict`, a notice is raised by its code.
        HostError: `cancelled`; `speakers_missing`, the model of speakers is not in the store.
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
        turns = None
        if diarizer is not None and model is not None and options.speakers is not None:
            turns = diarization(diarizer.finish(options.speakers), model, options.speakers)
        return Plan(tuple(channel.cut() for channel in channels), tuple(both.warnings), turns)


def joined(
    plan: Plan,
    hypotheses: Sequence[Sequence[Hypothesis]],
    rule: Rule,
    options: Options,
    provenance: Provenance,
    audio_sha256: str | None,
) -> Transcript:
    """Join the recognised windows of a recording into its transcript.

    Args:
        plan: the plan that `windows` returned.
        hypotheses: for each channel, the hypotheses of its windows in their order.
        rule: the rule with which the recording was cut.
        options: the options with which the recording was cut.
        provenance: digests and versions of the engine and of the voice activity model.
        audio_sha256: digest of the recording's file.
    """
    wide = options if plan.diarization is None else replace(options, word_timestamps=True)
    decoders = [ChannelDecoder(_Recognised(iter(each))) for each in hypotheses]
    split = options.channel == "split"
    turns = DialogueMerger()
    segments = []
    for number, (cut, decoder) in enumerate(zip(plan.cuts, decoders, strict=True)):
        replayed = _Replayed(cut)
        channel = number if split else None
        stream = ChannelStream(replayed, decoder, rule=ruled(rule, options), channel=channel)
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
class _Replayed:
    """Replays the pieces of a channel to a `ChannelStream`, as a cutter would, without samples."""

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
    """A decoding that returns the hypotheses of windows that were recognised before."""

    hypotheses: Iterator[Hypothesis]

    @property
    def independent(self) -> Request | None:
        return None

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        del samples, stop
        return next(self.hypotheses)
