"""The families of voice activity detection that this program knows: one row for each."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from glagol.core.errors import InputError
from glagol.runtime.session import open_session
from glagol.speech.engines.base import configured
from glagol.speech.types import VadProvenance
from glagol.speech.vad.config import Vad
from glagol.speech.vad.model import BLOCK_FRAMES, ActivityStream
from glagol.speech.vad.spans import SpanMachine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.registry import OpenModel
    from glagol.runtime.ort import onnxruntime

__all__ = ["FAMILIES", "Detector", "Family", "VoiceActivity", "load"]


class Detector(Protocol):
    """A voice activity model that was opened; shared by threads."""

    @property
    def provenance(self) -> VadProvenance:
        """What detects."""

    def stream(self, *, block_frames: int = BLOCK_FRAMES) -> ActivityStream:
        """A stream from the samples of one recording to activity."""

    def spans(self) -> SpanMachine:
        """A state machine from the activity of one recording to spans of speech."""


class Family(Protocol):
    """Code that runs detectors of one kind."""

    @property
    def name(self) -> str:
        """The manifest's `engine`."""

    @property
    def config(self) -> Any:
        """A msgspec.Struct: the form of the manifest's `decoding`."""

    def load(self, opened: OpenModel) -> Detector:
        """Create the session of a verified model; it runs on one thread of the CPU.

        Raises:
            IntegrityError: `manifest_invalid`, `artifact_missing` or `artifact_altered`.
        """


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """A sequence model with the parameters of its span rule.

    Attributes:
        session: the model.
        parameters: of the rule.
        provenance: what detects.
    """

    session: onnxruntime.InferenceSession
    parameters: Vad
    provenance: VadProvenance

    def stream(self, *, block_frames: int = BLOCK_FRAMES) -> ActivityStream:
        """As `Detector.stream`."""
        return ActivityStream(self.session, block_frames=block_frames)

    def spans(self) -> SpanMachine:
        """As `Detector.spans`."""
        return SpanMachine(self.parameters)


@dataclass(frozen=True, slots=True)
class _Silero:
    """Silero VAD: one graph that carries an LSTM state."""

    name: str = "silero"
    config: Any = Vad

    def load(self, opened: OpenModel) -> VoiceActivity:
        """As `Family.load`."""
        parameters: Vad = configured(opened.model, Vad)
        graph = next((path for path in opened.blobs if path.endswith(".onnx")), "model.onnx")
        fields = msgspec.to_builtins(parameters)
        provenance = VadProvenance(
            id=opened.model.id,
            artifacts={path: blob.sha256 for path, blob in opened.blobs.items()},
            parameters={name: value for name, value in fields.items() if name != "kind"},
        )
        session = open_session(opened.blobs, graph, device="cpu", threads=1)
        return VoiceActivity(session, parameters, provenance)


_ROWS: Final[tuple[Family, ...]] = (_Silero(),)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.name: family for family in _ROWS})
"""By the manifest's `engine`."""


def load(opened: OpenModel, families: Mapping[str, Family] = FAMILIES) -> Detector:
    """Create the detector of a verified model.

    Raises:
        InputError: `model_unknown`, none of the families detects with the model's engine.
        IntegrityError: as `Family.load`.
    """
    model = opened.model
    if model.engine not in families:
        raise InputError(
            "model_unknown",
            f"{model.id} has the engine {model.engine!r}, with which this program cannot detect"
            " voice",
            f"choose a model of one of the engines {', '.join(sorted(families))}:"
            " glagol models list",
        )
    return families[model.engine].load(opened)
