"""What decided a text, as one digest: whether it must be made anew after a change.

The digest covers the bytes and parameters of the models that a recording went through, and the
options. The release of this program, ONNX Runtime and the processor are in the provenance of a row
and not in the digest: an upgrade alone does not make an archive wrong.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from glagol.registry.manifest.rules import role_of

if TYPE_CHECKING:
    from glagol.registry.registry import Registry
    from glagol.speech.types import Options, Provenance

__all__ = ["Decision", "decision_of"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Digests of what decides texts.

    Attributes:
        searched: of recordings in which voice activity was searched for.
        whole: of those that were short enough to be read as they are.
    """

    searched: str
    whole: str

    def of(self, provenance: Provenance) -> str:
        """The digest for a transcript, by its provenance."""
        return self.whole if provenance.vad is None else self.searched

    @property
    def all(self) -> tuple[str, ...]:
        """Every digest with which a row is still right."""
        return self.searched, self.whole


def decision_of(known: Provenance, registry: Registry, options: Options) -> Decision:
    """The digests for a run.

    Args:
        known: what recognisers say of themselves before any audio.
        registry: of the models.
        options: what the caller chose.
    """
    model = registry.model(known.model)
    engine: dict[str, Any] = {
        "artifacts": dict(known.artifacts),
        "decoding": msgspec.to_builtins(model.decoding),
        "options": msgspec.to_builtins(asdict(options)),
    }
    if options.speakers is not None:
        engine["speakers"] = [
            (msgspec.to_builtins(each.decoding), _digests(each.variants))
            for each in registry.manifest.models
            if role_of(each) == "speakers"
        ]
    vad = None if known.vad is None else asdict(known.vad)
    return Decision(_digest({**engine, "vad": vad}), _digest(engine))


def _digests(variants: Any) -> list[str]:
    return [artifact.sha256 for variant in variants for artifact in variant.artifacts]


def _digest(value: object) -> str:
    data = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()
