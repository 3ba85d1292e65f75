"""Open a text encoder and compute vectors of length 1 of texts.

On a CPU each text is computed alone, so its vector does not depend on other texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from glagol.core.errors import HostError, InputError
from glagol.embed.config import chosen, configured
from glagol.embed.tokenizer import Tokenizer
from glagol.runtime.builds import build_of
from glagol.runtime.options import Runtime
from glagol.runtime.session import artifact, device_of, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.embed.config import Embedding
    from glagol.registry.registry import OpenModel, Registry
    from glagol.runtime.ort import onnxruntime

__all__ = ["Embedder", "Provenance", "Purpose", "proven"]

Purpose = Literal["query", "passage", "raw"]
"""What a text is for, which chooses its prefix; `raw` adds none."""

GRAPH: Final = "encoder.onnx"
TOKENIZER: Final = "sentencepiece.model"
_PROOF: Final = "проверка связи, check one two"
_LENGTH_ERROR_MAX: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which bytes make the vectors.

    Attributes:
        model: id of the manifest.
        model_version: upstream's version.
        variant: the open variant.
        provider: the device on which the session runs, "cpu" or "cuda".
        artifacts: SHA-256 of each file of the variant, by name.
        manifest_version: version of the manifest that named the files.
        manifest_sha256: digest of that manifest.
    """

    model: str
    model_version: str
    variant: str
    provider: str
    artifacts: dict[str, str]
    manifest_version: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Embedder:
    """An open model; shared by threads. Make it with `open`.

    Attributes:
        parameters: the encoder's parameters.
        tokenizer: the encoder's tokenizer.
        session: the session with its graph.
        provenance: which bytes were opened.
    """

    parameters: Embedding
    tokenizer: Tokenizer
    session: onnxruntime.InferenceSession
    provenance: Provenance

    @classmethod
    def open(
        cls,
        registry: Registry,
        *,
        model: str | None = None,
        variant: str | None = None,
        runtime: Runtime = Runtime(threads=1),  # noqa: B008 - frozen
    ) -> Embedder:
        """Open a verified model.

        Args:
            registry: where models come from.
            model: id or alias; None for the manifest's first for embeddings.
            variant: id of a variant; None for the first one made for the device. If this processor
                computes its precision inexactly, the variant that replaces it is opened instead,
                when the store has it.
            runtime: device, threads and memory.

        Raises:
            InputError: `model_unknown`, `option_invalid`.
            IntegrityError: files are missing, altered, not pinned, or do not fit together.
            HostError: `provider_missing`.
        """
        entry = chosen(registry, model)
        opened = registry.open(entry.id, build_of(registry, entry, variant, runtime.device))
        parameters = configured(entry)
        tokenizer = Tokenizer(bytes(artifact(opened.blobs, TOKENIZER).data), parameters)
        session = open_session(
            opened.blobs,
            GRAPH,
            device=runtime.device,
            threads=runtime.threads,
            memory_bytes=runtime.memory_bytes,
        )
        return cls(parameters, tokenizer, session, _provenance(opened, device_of(session)))

    def tokens(self, text: str, purpose: Purpose, *, cut: bool = False) -> tuple[list[int], bool]:
        """The ids of a text with its prefix, and whether it was cut.

        Raises:
            InputError: `text_empty`.
            LimitError: `prompt_too_long`.
        """
        if not text.strip():
            raise InputError("text_empty", "a text is empty", "send text to embed")
        prefixes = {
            "query": self.parameters.query_prefix,
            "passage": self.parameters.passage_prefix,
            "raw": "",
        }
        return self.tokenizer.encode(prefixes[purpose] + text.strip(), cut=cut)

    def vector(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The vector float32 [D] of token ids that `tokens` gave."""
        row = np.array([ids], np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
        (found,) = self.session.run(["embedding"], feeds)
        result: NDArray[np.float32] = found[0]
        return result

    def embed(
        self, texts: Sequence[str], purpose: Purpose, *, cut: bool = True
    ) -> NDArray[np.float32]:
        """The vectors float32 [N, D] of texts, in this thread.

        Raises:
            InputError: `text_empty`.
            LimitError: `prompt_too_long`, unless they may be cut.
        """
        vectors = [self.vector(self.tokens(text, purpose, cut=cut)[0]) for text in texts]
        return np.stack(vectors) if vectors else np.zeros((0, self.parameters.dimensions), "f4")


def proven(embedder: Embedder) -> Embedder:
    """Return `embedder` if it passes a test: a text embedded twice gives equal bits of length 1.

    Raises:
        HostError: `not_ready`, the vectors differ, or have a wrong size or length.
    """
    ids, _ = embedder.tokens(_PROOF, "query")
    first, second = embedder.vector(ids), embedder.vector(ids)
    right = first.shape == (embedder.parameters.dimensions,) and np.isfinite(first).all()
    if (
        not right
        or abs(float(np.linalg.norm(first)) - 1) > _LENGTH_ERROR_MAX
        or first.tobytes() != second.tobytes()
    ):
        raise HostError(
            "not_ready",
            f"{embedder.provenance.model} does not give one vector of length 1 for one text",
            "check onnxruntime's version and the processor; glagol models verify",
        )
    return embedder


def _provenance(opened: OpenModel, provider: str) -> Provenance:
    return Provenance(
        model=opened.model.id,
        model_version=opened.model.version,
        variant=opened.variant.id,
        provider=provider,
        artifacts={path: blob.sha256 for path, blob in opened.blobs.items()},
        manifest_version=opened.manifest_version,
        manifest_sha256=opened.manifest_sha256,
    )
