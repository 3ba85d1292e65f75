"""Speech recognition of a whole file: the package's front door."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from glagol.registry.entries import Vad
from glagol.registry.errors import HostError, InputError
from glagol.speech.acoustic import Acoustic
from glagol.speech.audio import decode
from glagol.speech.chunk import Rule
from glagol.speech.cutter import Cutter, Piece
from glagol.speech.runtime import onnxruntime
from glagol.speech.seams import after, before, seam_of
from glagol.speech.segments import SegmentStream
from glagol.speech.session import open_session
from glagol.speech.types import (
    SAMPLE_RATE,
    Array,
    Coverage,
    Options,
    Progress,
    Provenance,
    Segment,
    Transcript,
    VadProvenance,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from glagol.registry.entries import Model
    from glagol.registry.registry import OpenModel, Registry


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
    ) -> Recognizer:
        """Open verified models and create their sessions.

        Args:
            registry: where models come from.
            model: id or alias of the acoustic model; None for the manifest's default.
            vad: id or alias of the voice activity model; None for the manifest's default.
            variant: build of the acoustic model; None for the first one made for the device.
            device: "cpu" or "cuda"; there is no fallback from one to the other.
            threads: of the encoder, 0 for one per physical core; they do not change fp32 results.

        Returns:
            The recogniser.

        Raises:
            InputError: `model_unknown`, `option_invalid`.
            IntegrityError: model files are missing, altered or not pinned.
            HostError: `provider_missing`, the device cannot be used.
        """
        entry = registry.model(model or registry.manifest.defaults.asr)
        opened = registry.open(entry.id, variant or _variant_for(entry, device))
        acoustic = Acoustic(opened, device=device, threads=threads)
        opened_vad = registry.open(vad or registry.manifest.defaults.vad)
        session, parameters = _open_vad(opened_vad)
        return cls(
            model=entry,
            rule=Rule(),
            provenance=_provenance(opened, opened_vad, parameters, acoustic.provider),
            _acoustic=acoustic,
            _vad=session,
            _vad_parameters=parameters,
        )

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
            file: seekable binary file with audio (see `glagol.speech.audio.decode`).
            options: what the caller chose.
            audio_sha256: digest of the file for the provenance.
            on_progress: called after each chunk, and at the end with everything done.
            cancelled: asked between blocks and chunks; True stops the work.

        Yields:
            Segments as soon as they are final. The generator's return value is the transcript.

        Raises:
            InputError: the audio or an option is wrong.
            LimitError: `audio_too_long`.
            HostError: `cancelled`.
        """
        _check(options, self.model)
        report = on_progress or _ignore
        source = decode(file, max_seconds=options.max_audio_s)
        cutter = Cutter(
            self._vad, self._vad_parameters, rule=self.rule, short_s=options.short_audio_s
        )
        found: list[Segment] = []
        stream, joiner = SegmentStream(), _Joiner(self._acoustic, self.rule.lead)
        try:
            for piece in cutter.pieces(_watched(source, cancelled)):
                for segment in stream.push(joiner.words(piece)):
                    yield _shown(segment, options, found)
                _stop_if(cancelled)
                report(Progress(piece.chunk.core.end / SAMPLE_RATE, source.declared_s))
        finally:
            source.close()
        for segment in stream.finish():
            yield _shown(segment, options, found)
        seconds = cutter.total / SAMPLE_RATE
        report(Progress(seconds, seconds))
        return self._transcript(tuple(found), cutter, options.language, audio_sha256)

    def _transcript(
        self, segments: tuple[Segment, ...], cutter: Cutter, language: str, sha256: str | None
    ) -> Transcript:
        return Transcript(
            text=" ".join(segment.text for segment in segments),
            segments=segments,
            duration_s=round(cutter.total / SAMPLE_RATE, 3),
            language=language,
            coverage=Coverage(
                round(cutter.decoded / SAMPLE_RATE, 3), round(cutter.dropped / SAMPLE_RATE, 3)
            ),
            provenance=replace(
                self.provenance,
                vad=self.provenance.vad if cutter.used_vad else None,
                chunk_plan_sha256=cutter.plan_sha256,
                audio_sha256=sha256,
            ),
        )


class _Joiner:
    """Words of consecutive pieces, each word once (see `glagol.speech.seams`)."""

    def __init__(self, acoustic: Acoustic, lead: float) -> None:
        self._acoustic = acoustic
        self._lead = lead
        self._seam: float | None = None
        self._last: Word | None = None

    def words(self, piece: Piece) -> list[Word]:
        core, window = piece.chunk.core, piece.chunk.window
        words = self._acoustic.words(piece.samples, window.start)
        if self._seam is not None and window.start < core.start:
            words = after(words, self._seam, self._last)
        self._seam = None
        if window.end > core.end:
            self._seam = seam_of(words, core.end / SAMPLE_RATE, self._lead)
            words = before(words, self._seam)
        self._last = words[-1] if words else None
        return words


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


def _provenance(opened: OpenModel, vad: OpenModel, parameters: Vad, provider: str) -> Provenance:
    return Provenance(
        model=opened.model.id,
        model_version=opened.model.version,
        artifacts={path: blob.sha256 for path, blob in opened.blobs.items()},
        manifest_version=opened.manifest_version,
        manifest_sha256=opened.manifest_sha256,
        variant=opened.variant.id,
        provider=provider,
        onnxruntime=onnxruntime.__version__,
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


def _shown(segment: Segment, options: Options, found: list[Segment]) -> Segment:
    """The segment as the caller wants it, remembered for the transcript."""
    shown = segment if options.word_timestamps else replace(segment, words=())
    found.append(shown)
    return shown


def _watched(blocks: Iterator[Array], cancelled: Callable[[], bool] | None) -> Iterator[Array]:
    for block in blocks:
        _stop_if(cancelled)
        yield block


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise HostError("cancelled", "the transcription was cancelled", "send it again if needed")


def _ignore(progress: Progress) -> None:
    """Nobody asked."""
