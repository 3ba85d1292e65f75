"""Speech recognition of a whole file: the package's front door."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np

from glagol.core.errors import HostError, InputError
from glagol.registry.manifest.types import Vad
from glagol.runtime.batching import Tally
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session
from glagol.speech.audio.decode import decode
from glagol.speech.engines.gigaam.engine import Acoustic
from glagol.speech.pipeline.channels import Listener, Turns
from glagol.speech.pipeline.live import LIVE_FRAMES, Live
from glagol.speech.segmentation.cutter import Cutter
from glagol.speech.segmentation.planner import Rule, combined
from glagol.speech.types import (
    SAMPLE_RATE,
    Array,
    Coverage,
    Options,
    Progress,
    Provenance,
    Segment,
    Step,
    Transcript,
    VadProvenance,
    Word,
)
from glagol.speech.vad.model import BLOCK_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel, Registry
    from glagol.runtime.session import Interrupt
    from glagol.speech.pipeline.channels import Hear


@dataclass(frozen=True, slots=True)
class Recognizer:
    """An acoustic model and a voice activity model, ready to transcribe.

    Holds no state of a transcription, so threads may share one. Make it with `open`.

    Attributes:
        model: the registry entry of the acoustic model.
        rule: how long audio is cut.
        provenance: what is known before any audio; every transcript fills in the rest.
    """

    model: Model
    rule: Rule
    provenance: Provenance
    _acoustic: Acoustic
    _vad: onnxruntime.InferenceSession
    _vad_parameters: Vad

    @classmethod
    def open(
        cls,
        registry: Registry,
        *,
        model: str | None = None,
        vad: str | None = None,
        variant: str | None = None,
        device: str = "cpu",
        threads: int = 0,
        memory_bytes: int = 0,
        kernels: bool = True,
    ) -> Recognizer:
        """Open verified models and create their sessions.

        Args:
            registry: where models come from.
            model: id or alias of the acoustic model; None for the manifest's default.
            vad: id or alias of the voice activity model; None for the manifest's default.
            variant: build of the acoustic model; None for the first one made for the device.
            device: "cpu" or "cuda"; there is no fallback from one to the other.
            threads: of the encoder, 0 for one per physical core; they do not change the results.
            memory_bytes: most that the encoder may take of a card's memory; 0 for no limit.
            kernels: whether our library computes what it can (`glagol.runtime.kernels.adapt`).

        Returns:
            The recogniser.

        Raises:
            InputError: `model_unknown`, `option_invalid`.
            IntegrityError: model files are missing, altered or not pinned.
            HostError: `provider_missing`, the device cannot be used.
        """
        entry = registry.model(model or registry.manifest.defaults.asr)
        opened = registry.open(entry.id, variant or _variant_for(entry, device))
        acoustic = Acoustic(
            opened, device=device, threads=threads, memory_bytes=memory_bytes, kernels=kernels
        )
        opened_vad = registry.open(vad or registry.manifest.defaults.vad)
        session, parameters = _open_vad(opened_vad)
        return cls(
            model=entry,
            rule=Rule(),
            provenance=_provenance(opened, opened_vad, parameters, acoustic),
            _acoustic=acoustic,
            _vad=session,
            _vad_parameters=parameters,
        )

    @property
    def tally(self) -> Tally:
        """What the encoder did since the model was opened."""
        return self._acoustic.tally

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
    ) -> Generator[Step, None, Transcript]:
        """Transcribe a file step by step: one chunk, or 16 s without one, between two steps.

        All state is in the generator. It may rest between steps for any time, while others use the
        recogniser, and may be resumed by another thread: the transcript is the same.

        Args:
            file: seekable binary file with audio (see `glagol.speech.audio.decode.decode`).
            options: what the caller chose.
            audio_sha256: digest of the file for the provenance.
            cancelled: asked between blocks and chunks; True stops the work.

        Yields:
            What each step brought. The generator's return value is the transcript.

        Raises:
            InputError: the audio or an option is wrong.
            LimitError: `audio_too_long`.
            HostError: `cancelled`.
        """
        _check(options, self.model)
        split = options.channel == "split"
        source = decode(file, max_seconds=options.max_audio_s, split=split, cancelled=cancelled)
        listeners = [
            self._listener(options.short_audio_s, channel if split else None)
            for channel in range(source.channels)
        ]
        found: list[Segment] = []
        turns = Turns()

        def step(segments: list[Segment], *, last: bool = False) -> Step:
            told = turns.push(segments, [listener.frontier for listener in listeners])
            told += turns.finish() if last else []
            shown = tuple(_shown(segment, options) for segment in told)
            found.extend(shown)
            total_s = listeners[0].cutter.total / SAMPLE_RATE if last else source.declared_s
            settled = min(listener.cutter.settled for listener in listeners)
            return Step(shown, Progress(settled / SAMPLE_RATE, total_s))

        with closing(source):
            for block in _watched(source, cancelled):
                for listener, samples in zip(listeners, block.T if split else [block], strict=True):
                    for segments in listener.push(np.ascontiguousarray(samples)):
                        yield step(segments)
                        _stop_if(cancelled)
        for listener in listeners:
            for segments in listener.finish():
                yield step(segments)
                _stop_if(cancelled)
        yield step([], last=True)
        return self._transcript(
            tuple(found), [listener.cutter for listener in listeners], options, audio_sha256
        )

    def live(
        self,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        hear: Hear | None = None,
    ) -> Live:
        """Begin to transcribe audio that is still being spoken.

        Args:
            options: what the caller chose. Voice activity always decides: there is no short audio.
            hear: what recognises a window, `words` if not given.

        Returns:
            The transcription; it may be used by one thread at a time.

        Raises:
            InputError: an option is wrong.
        """
        _check(options, self.model)
        listener = self._listener(0.0, None, hear=hear, block_frames=LIVE_FRAMES)

        def whole(segments: tuple[Segment, ...], sha256: str | None) -> Transcript:
            return self._transcript(segments, [listener.cutter], options, sha256)

        return Live(listener, whole, options)

    def words(self, samples: Array, start: int, stop: Interrupt | None = None) -> list[Word]:
        """Words of one window float32 [n], at most 25 s, that begins at sample `start`.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        return self._acoustic.words(samples, start, stop)

    def _listener(
        self,
        short_s: float,
        channel: int | None,
        *,
        hear: Hear | None = None,
        block_frames: int = BLOCK_FRAMES,
    ) -> Listener:
        cutter = Cutter(
            self._vad,
            self._vad_parameters,
            rule=self.rule,
            short_s=short_s,
            block_frames=block_frames,
        )
        return Listener(cutter, hear or self.words, lead=self.rule.lead, channel=channel)

    def _transcript(
        self,
        segments: tuple[Segment, ...],
        cutters: Sequence[Cutter],
        options: Options,
        sha256: str | None,
    ) -> Transcript:
        coverages = [
            Coverage(round(c.decoded / SAMPLE_RATE, 3), round(c.dropped / SAMPLE_RATE, 3))
            for c in cutters
        ]
        plans = [cutter.plan_sha256 for cutter in cutters]
        split = options.channel == "split"
        return Transcript(
            text=" ".join(segment.text for segment in segments),
            segments=segments,
            duration_s=round(cutters[0].total / SAMPLE_RATE, 3),
            language=options.language,
            coverage=_sum(coverages) if split else coverages[0],
            provenance=replace(
                self.provenance,
                vad=self.provenance.vad if any(c.used_vad for c in cutters) else None,
                chunk_plan_sha256=combined(plans) if split else plans[0],
                audio_sha256=sha256,
            ),
        )


def _variant_for(model: Model, device: str) -> str | None:
    """The first build that was made for the device; None leaves the choice to the registry."""
    made = [v.id for v in model.variants if v.artifacts and v.provider == device]
    return made[0] if made else None


def _open_vad(opened: OpenModel) -> tuple[onnxruntime.InferenceSession, Vad]:
    if not isinstance(opened.model.decoding, Vad):
        raise InputError(
            "model_unknown",
            f"{opened.model.id} does not detect voice (engine {opened.model.engine})",
            "choose a model of the engine silero",
        )
    graph = next(path for path in opened.blobs if path.endswith(".onnx"))
    return open_session(opened.blobs, graph, device="cpu", threads=1), opened.model.decoding


def _provenance(
    opened: OpenModel, vad: OpenModel, parameters: Vad, acoustic: Acoustic
) -> Provenance:
    return Provenance(
        model=opened.model.id,
        model_version=opened.model.version,
        artifacts={path: blob.sha256 for path, blob in opened.blobs.items()},
        manifest_version=opened.manifest_version,
        manifest_sha256=opened.manifest_sha256,
        variant=opened.variant.id,
        provider=acoustic.provider,
        onnxruntime=onnxruntime.__version__,
        kernels_sha256=acoustic.kernels_sha256,
        vad=VadProvenance(
            id=vad.model.id,
            artifacts={path: blob.sha256 for path, blob in vad.blobs.items()},
            parameters={
                name: value
                for name, value in msgspec.to_builtins(parameters).items()
                if name != "kind"
            },
        ),
        chunk_plan_sha256="",
        audio_sha256=None,
    )


def _check(options: Options, model: Model) -> None:
    if model.languages and options.language not in model.languages:
        raise InputError(
            "option_invalid",
            f"{model.id} does not know the language {options.language!r}",
            f"use one of {', '.join(model.languages)}",
        )
    if not (options.short_audio_s >= 0 and options.max_audio_s > 0):
        raise InputError(
            "option_invalid",
            f"short_audio_s {options.short_audio_s} or max_audio_s {options.max_audio_s} is wrong",
            "use seconds: short_audio_s from 0, max_audio_s above 0",
        )


def _sum(coverages: Sequence[Coverage]) -> Coverage:
    return Coverage(
        round(sum(coverage.decoded_s for coverage in coverages), 3),
        round(sum(coverage.dropped_s for coverage in coverages), 3),
        tuple(coverages),
    )


def _shown(segment: Segment, options: Options) -> Segment:
    """The segment as the caller wants it."""
    return segment if options.word_timestamps else replace(segment, words=())


def _watched(blocks: Iterator[Array], cancelled: Callable[[], bool] | None) -> Iterator[Array]:
    for block in blocks:
        _stop_if(cancelled)
        yield block


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise HostError("cancelled", "the transcription was cancelled", "send it again if needed")
