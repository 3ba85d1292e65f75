"""Transcribe a recording or a live stream: the package's main entry point."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from glagol.runtime.batching import Tally
from glagol.runtime.builds import build_of
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import Request
from glagol.speech.engines.families import FAMILIES, family_of
from glagol.speech.phrases.spelling import noticed
from glagol.speech.pipeline import speaking
from glagol.speech.pipeline.blocks import opening, stop_if, watched
from glagol.speech.pipeline.channel_decoder import ChannelDecoder, spoken
from glagol.speech.pipeline.channels import ChannelStream, DialogueMerger
from glagol.speech.pipeline.live import LIVE_FRAMES, Live
from glagol.speech.pipeline.options import granted, request_of
from glagol.speech.pipeline.provenance import known
from glagol.speech.pipeline.whole import ruled, uncut_s, whole
from glagol.speech.segmentation.cutter import Cutter
from glagol.speech.segmentation.planner import Rule
from glagol.speech.text.writing import Writer, described
from glagol.speech.types import (
    SAMPLE_RATE,
    Array,
    Options,
    Progress,
    Provenance,
    Segment,
    Step,
    Transcript,
    Word,
)
from glagol.speech.vad import families as detectors
from glagol.speech.vad.model import BLOCK_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry
    from glagol.runtime.session import Interrupt
    from glagol.speech.audio.source import AudioSource, Opener
    from glagol.speech.engines.base import Family, TranscriptionEngine
    from glagol.speech.pipeline.channels import WindowRecognizer
    from glagol.speech.vad.families import Detector


@dataclass(frozen=True, slots=True)
class Recognizer:
    """A transcription engine and a voice activity model, ready to transcribe.

    Holds no state of a transcription, so threads may share one. Make it with `open`.

    Attributes:
        model: the registry entry of the engine's model.
        engine: what recognises windows.
        vad: what finds speech.
        rule: how long audio is cut.
        provenance: what is known before any audio; every transcript fills in the rest.
        speakers: what finds out who speaks.
        opener: what opens recordings: in this process, or in a child.
    """

    model: Model
    engine: TranscriptionEngine
    vad: Detector
    rule: Rule
    provenance: Provenance
    speakers: speaking.Speakers
    opener: Opener = decode

    @classmethod
    def open(
        cls,
        registry: Registry,
        *,
        model: str | None = None,
        vad: str | None = None,
        variant: str | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - frozen
        families: Mapping[str, Family] = FAMILIES,
        opener: Opener = decode,
    ) -> Recognizer:
        """Open verified models and create their sessions.

        Args:
            registry: where models come from.
            model: id or alias of the model that transcribes; None for the manifest's default.
            vad: id or alias of the voice activity model; None for the manifest's default.
            variant: build of the first; None for the first one made for the device. Where this
                processor computes its precision inexactly (`glagol.runtime.kernels.int8`) and the
                store has the build that replaces it, that one is opened.
            runtime: device, threads, memory and kernels of the engine.
            families: the engines that can be loaded, by name.
            opener: what opens recordings.

        Returns:
            The recogniser.

        Raises:
            InputError: `model_unknown`, `option_invalid`.
            IntegrityError: model files are missing, altered or not pinned.
            HostError: `provider_missing`, the device cannot be used.
        """
        entry = registry.model(model or registry.manifest.defaults.asr)
        family = family_of(entry, families)
        kernels = runtime.kernels and family.int8_kernels
        build = build_of(registry, entry, variant, runtime.device, kernels=kernels)
        opened = registry.open(entry.id, build)
        engine = family.load(opened, runtime)
        detector = detectors.load(registry.open(vad or registry.manifest.defaults.vad))
        traits = engine.traits
        return cls(
            model=entry,
            engine=engine,
            vad=detector,
            rule=Rule.for_window(traits.window_s, overlap=traits.word_times != "none"),
            provenance=known(opened, detector.provenance, engine.provenance),
            speakers=speaking.Speakers(registry),
            opener=opener,
        )

    @property
    def tally(self) -> Tally:
        """What the engine did since the model was opened."""
        return self.engine.tally

    def begin(self, options: Options) -> ChannelDecoder:
        """What recognises the windows of one channel of one transcription, in order.

        Raises:
            InputError: an option is wrong.
        """
        options = granted(options, self.model.id, self.engine.traits)
        return ChannelDecoder(self.engine.begin(request_of(options)))

    def transcribe(
        self,
        file: BinaryIO,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        audio_sha256: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Transcript:
        """Transcribe a file; as `segments`, but returns only the whole."""
        steps = self.segments(
            file,
            options=options,
            audio_sha256=audio_sha256,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                transcript: Transcript = end.value
                return transcript

    def segments(
        self,
        file: BinaryIO,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        audio_sha256: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generator[Segment, None, Transcript]:
        """Transcribe a file as a stream of segments, with memory that does not grow with it.

        Args:
            file: as for `steps`.
            options: what the caller chose.
            audio_sha256: digest of the file for the provenance.
            on_progress: called after each step.
            cancelled: asked between blocks and chunks; True stops the work.

        Yields:
            Segments as soon as they are final. The generator's return value is the transcript.

        Raises:
            InputError, LimitError, HostError: as `steps`.
        """
        steps = self.steps(file, options=options, audio_sha256=audio_sha256, cancelled=cancelled)
        with closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    transcript: Transcript = end.value
                    return transcript
                yield from step.segments
                if on_progress is not None:
                    on_progress(step.progress)

    def steps(
        self,
        file: BinaryIO,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        audio_sha256: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        opened: AudioSource | None = None,
    ) -> Generator[Step, None, Transcript]:
        """Transcribe a file step by step: one chunk, or 16 s without one, between two steps.

        All state is in the generator. It may rest between steps for any time, while others use the
        recogniser, and may be resumed by another thread: the transcript is the same.

        Args:
            file: seekable binary file with audio (see `glagol.speech.audio.decode.decode`).
            options: what the caller chose.
            audio_sha256: digest of the file for the provenance.
            cancelled: asked between blocks and chunks; True stops the work.
            opened: the file's audio where it is open already, by these options; it is closed.

        Yields:
            What each step brought; nothing where the audio is late (`Step.waiting`). The
            generator's return value is the transcript.

        Raises:
            InputError: the audio or an option is wrong; with `strict` by the code of a notice.
            LimitError: `audio_too_long`.
            HostError: `cancelled`; `speakers_missing`, the model that finds speakers is not here.
        """
        options = granted(options, self.model.id, self.engine.traits)
        source = opened or self._opened(file, options, cancelled)

        def transcribed(source: AudioSource, options: Options) -> Generator[Step, None, Transcript]:
            return self._steps(source, options, audio_sha256, cancelled)

        if options.speakers is None:
            return (yield from transcribed(source, options))
        return (yield from speaking.steps(self.speakers, source, transcribed, options))

    def _steps(
        self,
        source: AudioSource,
        options: Options,
        audio_sha256: str | None,
        cancelled: Callable[[], bool] | None,
    ) -> Generator[Step, None, Transcript]:
        """As `steps`, of options that were granted; without speakers."""
        split = options.channel == "split"
        yield from opening(source, cancelled)
        decoders = [self.begin(options) for _ in range(source.channels)]
        short_s = uncut_s(options)
        listeners = [
            self._stream_of(decoder, options, short_s, channel if split else None)
            for channel, decoder in enumerate(decoders)
        ]
        found: list[Segment] = []
        turns, writer = DialogueMerger(), Writer(options)

        def step(segments: list[Segment], *, last: bool = False) -> Step:
            ordered = turns.push(segments, [stream.frontier for stream in listeners])
            ordered += turns.finish() if last else []
            ordered = writer.push(ordered, spoken(decoders, options), last=last)
            shown = tuple(s if options.word_timestamps else replace(s, words=()) for s in ordered)
            found.extend(shown)
            total_s = listeners[0].cutter.total / SAMPLE_RATE if last else source.declared_s
            settled = min(stream.cutter.settled for stream in listeners)
            return Step(shown, Progress(settled / SAMPLE_RATE, total_s))

        with closing(source):
            for block in watched(source, cancelled, strict=options.strict):
                if block is None:
                    yield replace(step([]), waiting=True)
                    continue
                for stream, samples in zip(listeners, block.T if split else [block], strict=True):
                    for segments in stream.push(np.ascontiguousarray(samples)):
                        yield step(segments)
                        stop_if(cancelled)
        for stream in listeners:
            for segments in stream.finish():
                yield step(segments)
                stop_if(cancelled)
        yield step([], last=True)
        cutters = [stream.cutter for stream in listeners]
        transcript = self._whole(tuple(found), cutters, options, decoders, audio_sha256)
        return replace(transcript, warnings=(*source.warnings, *transcript.warnings))

    def live(
        self,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        recognize: WindowRecognizer | None = None,
    ) -> Live:
        """Begin to transcribe audio that is still being spoken.

        Args:
            options: what the caller chose. Voice activity always decides: there is no short audio.
            recognize: what recognises a window, `words` if not given.

        Returns:
            The transcription; it may be used by one thread at a time.

        Raises:
            InputError: an option is wrong.
        """
        options = granted(options, self.model.id, self.engine.traits)
        decoder = self.begin(options)
        stream = self._stream_of(recognize or decoder, options, 0.0, None, block_frames=LIVE_FRAMES)

        def finished(segments: tuple[Segment, ...], sha256: str | None) -> Transcript:
            cutters = [stream.cutter]
            return self._whole(segments, cutters, options, [decoder], sha256)

        return Live(stream, decoder, finished, options)

    def words(self, samples: Array, start: int, stop: Interrupt | None = None) -> list[Word]:
        """Words of one window float32 [n] alone, no longer than the engine's, at sample `start`.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        return ChannelDecoder(self.engine.begin(Request()))(samples, start, stop)

    def close(self) -> None:
        """Give back what the engine holds; no call may follow."""
        self.engine.close()

    def _opened(
        self, file: BinaryIO, options: Options, cancelled: Callable[[], bool] | None
    ) -> AudioSource:
        return self.opener(
            file,
            max_seconds=options.max_audio_s,
            split=options.channel == "split",
            track=options.track,
            cancelled=cancelled,
        )

    def _whole(
        self,
        segments: tuple[Segment, ...],
        cutters: Sequence[Cutter],
        options: Options,
        decoders: Sequence[ChannelDecoder],
        sha256: str | None,
    ) -> Transcript:
        """The transcript, with what became of expected phrases, and how numbers are written."""
        found = whole(self.provenance, segments, cutters, options, decoders, sha256)
        if options.phrases:
            phrases = self.engine.expected(options.phrases)
            notices = dict.fromkeys((*found.warnings, *noticed(phrases)))
            found = replace(found, phrases=phrases, warnings=tuple(notices))
        return described(found, options)

    def _stream_of(
        self,
        recognize: WindowRecognizer,
        options: Options,
        short_s: float,
        channel: int | None,
        *,
        block_frames: int = BLOCK_FRAMES,
    ) -> ChannelStream[Cutter]:
        rule = ruled(self.rule, options)
        short_s = 0.0 if self.engine.traits.needs_speech else short_s
        cutter = Cutter(self.vad, rule=rule, short_s=short_s, block_frames=block_frames)
        return ChannelStream(cutter, recognize, rule=rule, channel=channel)
