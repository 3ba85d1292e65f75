"""The families of speaker models that this program knows: one row for each."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core.errors import HostError, InputError
from glagol.registry.manifest.rules import role_of
from glagol.runtime.session import open_session
from glagol.speech.engines.base import configured
from glagol.speech.speakers.config import SpeakersConfig
from glagol.speech.speakers.diarizer import Diarizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel, Registry
    from glagol.runtime.ort import onnxruntime

__all__ = ["FAMILIES", "Family", "SpeakerModel", "entry", "load", "located", "opened"]


@dataclass(frozen=True, slots=True)
class SpeakerModel:
    """Both networks of a model, ready for any number of recordings; shared by threads.

    Attributes:
        segmentation: session.
        embedding: session.
        config: parameters.
        id: registry id.
        artifacts: path to sha256 of every file.
    """

    segmentation: onnxruntime.InferenceSession
    embedding: onnxruntime.InferenceSession
    config: SpeakersConfig
    id: str
    artifacts: Mapping[str, str]

    def begin(self) -> Diarizer:
        """What finds the speakers of one recording."""
        return Diarizer(self.segmentation, self.embedding, self.config)


class Family(Protocol):
    """Code that runs speaker models of one kind."""

    @property
    def name(self) -> str:
        """The manifest's `engine`."""

    @property
    def config(self) -> Any:
        """A msgspec.Struct: the form of the manifest's `decoding`."""

    def load(self, opened: OpenModel) -> SpeakerModel:
        """Create the sessions of a verified model; they run on one thread of the CPU.

        Raises:
            IntegrityError: `manifest_invalid`, `artifact_missing` or `artifact_altered`.
        """


@dataclass(frozen=True, slots=True)
class _Campplus:
    """PyanNet's segmentation with CAM++'s embeddings."""

    name: str = "campplus"
    config: Any = SpeakersConfig

    def load(self, opened: OpenModel) -> SpeakerModel:
        """As `Family.load`."""
        config: SpeakersConfig = configured(opened.model, SpeakersConfig)
        segmentation, embedding = (
            open_session(opened.blobs, f"{name}.onnx", device="cpu", threads=1)
            for name in ("segmentation", "embedding")
        )
        artifacts = {path: blob.sha256 for path, blob in opened.blobs.items()}
        return SpeakerModel(segmentation, embedding, config, opened.model.id, artifacts)


_ROWS: Final[tuple[Family, ...]] = (_Campplus(),)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.name: family for family in _ROWS})
"""By the manifest's `engine`."""


def load(opened: OpenModel, families: Mapping[str, Family] = FAMILIES) -> SpeakerModel:
    """Create the sessions of a verified model.

    Raises:
        InputError: `model_unknown`, none of the families knows the model's engine.
        IntegrityError: as `Family.load`.
    """
    model = opened.model
    if model.engine not in families:
        raise InputError(
            "model_unknown",
            f"{model.id} has the engine {model.engine!r}, with which this program cannot tell"
            " speakers apart",
            f"choose a model of one of the engines {', '.join(sorted(families))}:"
            " glagol models list",
        )
    return families[model.engine].load(opened)


def entry(registry: Registry, families: Mapping[str, Family] = FAMILIES) -> Model | None:
    """The model that finds speakers: the manifest's first of that role with a known engine."""
    for model in registry.manifest.models:
        if role_of(model) == "speakers" and model.engine in families:
            return model
    return None


def located(registry: Registry) -> Model:
    """The manifest's model of speakers, if its files are in the store; they are not read.

    Raises:
        HostError: `speakers_missing`, the manifest has none, or its files are not in the store.
    """
    model = entry(registry)
    if model is None:
        raise HostError(
            "speakers_missing",
            "this manifest has no model that finds speakers",
            "use the manifest of a release that has one, or leave diarize out",
        )
    variant = next((each for each in model.variants if each.artifacts), None)
    if variant is None or not all(registry.store.has(a.sha256) for a in variant.artifacts):
        raise HostError(
            "speakers_missing",
            f"the model {model.id}, which finds speakers, is not in the store",
            f"run `glagol models build {model.id} --fetch` where a package index is in reach",
        )
    return model


def opened(registry: Registry) -> SpeakerModel:
    """Open the manifest's model of speakers.

    Raises:
        HostError: `speakers_missing`, as `located`.
        IntegrityError: its files are not what the manifest says.
    """
    return load(registry.open(located(registry).id))
