"""What is known of a transcript before its audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.runtime.ort import onnxruntime
from glagol.speech.types import Provenance

if TYPE_CHECKING:
    from glagol.registry.registry import OpenModel
    from glagol.speech.engines.base import EngineProvenance
    from glagol.speech.types import VadProvenance

__all__ = ["known"]


def known(opened: OpenModel, vad: VadProvenance, engine: EngineProvenance) -> Provenance:
    """Provenance of every transcript of a model; each fills in how its audio was cut."""
    return Provenance(
        model=opened.model.id,
        model_version=opened.model.version,
        artifacts={path: blob.sha256 for path, blob in opened.blobs.items()},
        manifest_version=opened.manifest_version,
        manifest_sha256=opened.manifest_sha256,
        variant=opened.variant.id,
        provider=engine.provider,
        onnxruntime=onnxruntime.__version__,
        kernels_sha256=engine.kernels_sha256,
        vad=vad,
        chunk_plan_sha256="",
        audio_sha256=None,
    )
