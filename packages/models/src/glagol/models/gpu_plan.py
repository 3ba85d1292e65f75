"""Divide the memory of one GPU between both servers before either starts.

Pure arithmetic over the manifest. Each figure says what it rests on: `published` (sizes of pinned
files), `computed` (from numbers of a model's card), `assumed` (a reserve of ours, not a
measurement), `unknown`. The limits of vLLM and of ONNX Runtime come from one plan, so their sum
never exceeds the memory of the card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.registry.manifest.rules import role_of
from glagol.registry.manifest.types import Bytes

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["GIB", "NO_MODEL", "Basis", "Card", "GpuPolicy", "Line", "Llm", "plan", "shared"]

NO_MODEL: Final = "none"  # instead of a model's id

GIB: Final = 1 << 30
MIB: Final = 1 << 20
DRIVER_BYTES: Final = 256 * MIB  # what the driver and a console take of a card
CONTEXT_BYTES: Final = 512 * MIB  # a process's CUDA context with its kernels and cuBLAS
ASR_WORKSPACE_BYTES: Final = GIB  # a batch of chunks in the encoder; ONNX Runtime is held to it
LLM_WORKSPACE_BYTES: Final = GIB  # vLLM's activations and captured graphs
KV_VALUE_BYTES: Final = 2  # of one number in the cache, 16 bits
# vLLM 0.32 keeps one block of its cache for itself and starts only when the longest context fits
# into the others; its attention backends on CUDA use blocks of 16 to 256 tokens.
BLOCK_TOKENS: Final = 256
CONTEXT_TOKENS_MIN: Final = 4096  # less is no use for summaries
CONTEXTS: Final = (4096, 8192, 16384, 32768, 65536, 131072)
PROMPTS_MAX: Final = 256
_STEP: Final = 256  # tokens that a context is rounded down to

Basis: TypeAlias = Literal["published", "computed", "assumed", "unknown"]


class Llm(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag="llm",
):
    """Memory needs of a language model, from the manifest's `decoding`; unknown values are absent.

    Attributes:
        context_tokens: Prompt and answer together, as trained.
        kv_values_per_token: Numbers that one token leaves in the cache, all layers together.
        weights_bytes: On the card; from the files' sizes, or computed as `note` of the model says.
    """

    context_tokens: Annotated[int, Meta(gt=0)] | None = None
    kv_values_per_token: Annotated[int, Meta(gt=0)] | None = None
    weights_bytes: Bytes | None = None


class GpuPolicy(Protocol):
    """The operator's settings of the card: `[gpu]` of policy.toml.

    Attributes:
        vram_gib: Memory of the card; 0 means no plan.
        asr: Model id of the recogniser on it; empty means the manifest's default, "none" no model.
        llm: The same for the language model.
    """

    @property
    def vram_gib(self) -> float:
        """Memory of the card, GiB."""

    @property
    def asr(self) -> str:
        """Model id, empty or "none"."""

    @property
    def llm(self) -> str:
        """Model id, empty or "none"."""


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the card's memory.

    Attributes:
        name: What it is for.
        size_bytes: How much; None when that is unknown.
        basis: What the figure rests on.
    """

    name: str
    size_bytes: int | None
    basis: Basis


@dataclass(frozen=True, slots=True)
class Card:
    """A plan that fits.

    Attributes:
        vram_bytes: Of the card.
        lines: Everything but the cache.
        cache_bytes: What is left for vLLM's KV cache; 0 without a language model.
        token_bytes: What one token leaves in the cache; None when that is unknown.
        context_tokens: The longest context that the cache and the model allow; None if unknown.
        prompts: How many prompts fit at a time, by context length; empty if unknown.
        llm_share: `--gpu-memory-utilization`: vLLM's part of the whole card, 0..1. It does not size
            the cache: vLLM refuses to start when less of the card is free.
        arena_bytes: `gpu_mem_limit` of ONNX Runtime's CUDA provider.
    """

    vram_bytes: int
    lines: tuple[Line, ...]
    cache_bytes: int
    token_bytes: int | None
    context_tokens: int | None
    prompts: dict[int, int]
    llm_share: float
    arena_bytes: int

    def vllm_flags(self) -> list[str]:
        """Arguments that limit vLLM to the plan; without a context when none is known.

        Empty without a language model. With `--kv-cache-memory-bytes` vLLM takes that many bytes
        for its cache and measures nothing, so the plan is exact.
        """
        if not self.cache_bytes:
            return []
        flags = [
            f"--gpu-memory-utilization={self.llm_share}",
            f"--kv-cache-memory-bytes={self.cache_bytes}",
        ]
        if self.context_tokens is not None:
            flags.append(f"--max-model-len={self.context_tokens}")
        return flags

    def llm_settings(self) -> dict[str, str]:
        """llm-server's variables for a plan that no policy.toml names; empty without a model.

        They have the share and the context: only the policy gives vLLM the cache in bytes.
        """
        if not self.cache_bytes:
            return {}
        found = {"LLM_MEMORY": f"{self.llm_share}"}
        if self.context_tokens is not None:
            found["LLM_MAX_CONTEXT"] = str(self.context_tokens)
        return found

    def onnxruntime_options(self) -> dict[str, str]:
        """Options that limit ONNX Runtime's CUDA provider to the plan."""
        return {
            "gpu_mem_limit": str(self.arena_bytes),
            "arena_extend_strategy": "kSameAsRequested",
        }


def plan(vram_bytes: int, asr: Model | None, llm: Model | None) -> Card:
    """Divide a card between a recogniser and a language model.

    Args:
        vram_bytes: Of the card.
        asr: The recogniser; None when it is not on this card.
        llm: The language model; None when it is not on this card.

    Raises:
        HostError: `vram_too_small`, with every figure.
        InputError: `option_invalid`, a model is not what its place needs, or its weights' size is
            unknown.
        IntegrityError: `manifest_invalid`, the language model's parameters are not those of one.
    """
    lines = [Line("driver", DRIVER_BYTES, "assumed")]
    arena = 0
    if asr is not None:
        weights = _asr_weights(asr)
        arena = (weights.size_bytes or 0) + ASR_WORKSPACE_BYTES
        lines += [
            Line(f"{asr.id}: CUDA context", CONTEXT_BYTES, "assumed"),
            weights,
            Line(f"{asr.id}: workspace", ASR_WORKSPACE_BYTES, "assumed"),
        ]
    needs = _needs(llm)
    if llm is not None:
        lines += [
            Line(f"{llm.id}: CUDA context", CONTEXT_BYTES, "assumed"),
            _llm_weights(llm, needs),
            Line(f"{llm.id}: workspace", LLM_WORKSPACE_BYTES, "assumed"),
        ]
    left = vram_bytes - sum(line.size_bytes or 0 for line in lines)
    token = needs.kv_values_per_token and needs.kv_values_per_token * KV_VALUE_BYTES
    least = 0 if llm is None else (BLOCK_TOKENS + CONTEXT_TOKENS_MIN) * (token or 0)
    if left < least or left < 0:
        raise _too_small(vram_bytes, lines, left, least)
    cache = left if llm is not None else 0
    fits = cache // token - BLOCK_TOKENS if token and llm is not None else None
    longest = None if fits is None else min(needs.context_tokens or fits, fits) // _STEP * _STEP
    prompts = {} if fits is None else {n: fits // n for n in CONTEXTS if n <= (longest or 0)}
    own = [line.size_bytes or 0 for line in lines if llm and line.name.startswith(f"{llm.id}:")]
    return Card(
        vram_bytes=vram_bytes,
        lines=tuple(lines),
        cache_bytes=cache,
        token_bytes=token,
        context_tokens=longest,
        prompts={tokens: min(count, PROMPTS_MAX) for tokens, count in prompts.items()},
        llm_share=int(1000 * (sum(own) + cache) / vram_bytes) / 1000,
        arena_bytes=arena,
    )


def shared(gpu: GpuPolicy, registry: Registry) -> Card | None:
    """The plan of the operator's policy; None when there is none.

    Raises:
        HostError: `vram_too_small`.
        InputError: `model_unknown`, `option_invalid`.
    """
    if not gpu.vram_gib:
        return None
    defaults = registry.manifest.defaults
    chosen = [gpu.asr or defaults.asr, gpu.llm or defaults.llm or NO_MODEL]
    asr, llm = (None if name == NO_MODEL else registry.model(name) for name in chosen)
    return plan(round(gpu.vram_gib * GIB), asr, llm)


def _asr_weights(model: Model) -> Line:
    """Weights of the build for CUDA; before there is one, of the half-precision checkpoint."""
    if role_of(model) != "asr":
        raise InputError("option_invalid", f"{model.id} does not transcribe", "name a recogniser")
    built = [v for v in model.variants if v.provider == "cuda" and v.artifacts]
    sizes = [sum(a.size_bytes for a in built[0].artifacts)] if built else []
    sizes += [file.size_bytes for file in model.source.files if file.size_bytes]
    if not sizes:
        raise _unknown(model)
    return Line(f"{model.id}: weights", sizes[0] if built else max(sizes), "published")


def _needs(model: Model | None) -> Llm:
    if model is None:
        return Llm()
    if role_of(model) != "llm":
        raise InputError(
            "option_invalid",
            f"{model.id} is not a language model",
            "name a language model (`glagol models list`)",
        )
    try:
        return convert(model.decoding or {"kind": "llm"}, Llm)
    except ValidationError as error:
        raise IntegrityError(
            "manifest_invalid",
            f"the decoding parameters of {model.id} are not a language model's: {error}",
            "restore manifest.json from the release or from version control",
        ) from error


def _llm_weights(model: Model, needs: Llm) -> Line:
    sizes = [f.size_bytes for f in model.source.files if f.path.endswith(".safetensors")]
    if sizes and None not in sizes:
        return Line(f"{model.id}: weights", sum(size or 0 for size in sizes), "published")
    if needs.weights_bytes is None:
        raise _unknown(model)
    return Line(f"{model.id}: weights", needs.weights_bytes, "computed")


def _unknown(model: Model) -> InputError:
    return InputError(
        "option_invalid",
        f"the manifest does not say how large the weights of {model.id} are",
        "pin its files first, or plan with another model",
    )


def _too_small(vram_bytes: int, lines: list[Line], left: int, least: int) -> HostError:
    said = ", ".join(f"{line.name} {_gib(line.size_bytes or 0)}" for line in lines)
    cache = f"; {_gib(least)} of cache for {CONTEXT_TOKENS_MIN} tokens" if least else ""
    return HostError(
        "vram_too_small",
        f"the card has {_gib(vram_bytes)}, needed are {_gib(vram_bytes - left + least)}: "
        f"{said}{cache}",
        "take a smaller or quantised model, or let one of the two use another card or the CPU",
    )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB"
