"""A plan never promises more memory than the card has, and says no with every figure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import HostError, InputError
from glagol.models.gpu_plan import BLOCK_TOKENS, CONTEXT_TOKENS_MIN, GIB, Card, plan, shared
from glagol.registry.manifest.read import parse
from glagol.registry.manifest.types import Model
from glagol.registry.registry import Registry
from glagol.web.access.policy import parse as parse_policy

ROOT = Path(__file__).resolve().parents[2]
MODELS = {
    model.id: model
    for model in parse((Path(__file__).resolve().parents[2] / "manifest.json").read_bytes()).models
}
ASR = MODELS["gigaam-v3-e2e-rnnt"]
SMALL, WHOLE = MODELS["qwen3-4b-awq"], MODELS["qwen3-4b"]
MOE, MOE_LARGE = MODELS["gigachat3-10b-a1.8b"], MODELS["gigachat3-10b-a1.8b-bf16"]


def planned(gib: float, asr: Model | None, llm: Model | None) -> Card | None:
    """The plan, or None when it does not fit."""
    try:
        return plan(round(gib * GIB), asr, llm)
    except HostError:
        return None


@given(
    st.floats(1, 100),
    st.sampled_from([None, ASR, MODELS["gigaam-nano"]]),
    st.sampled_from([None, SMALL, WHOLE, MOE, MOE_LARGE]),
)
def test_parts_are_the_card(gib: float, asr: Model | None, llm: Model | None) -> None:
    """Lines and cache are the card to the byte; both programs' limits fit into it together."""
    card = planned(gib, asr, llm)
    if card is None:
        return
    used = sum(line.size_bytes or 0 for line in card.lines)
    if llm is not None:
        assert used + card.cache_bytes == card.vram_bytes
    assert card.llm_share * card.vram_bytes + card.arena_bytes <= card.vram_bytes
    if card.context_tokens is not None and card.token_bytes is not None:
        assert card.context_tokens >= CONTEXT_TOKENS_MIN
        usable = card.cache_bytes - BLOCK_TOKENS * card.token_bytes
        assert card.context_tokens * card.token_bytes <= usable
        assert all(n * m * card.token_bytes <= usable for n, m in card.prompts.items())


@given(st.floats(1, 100), st.floats(0, 20), st.sampled_from([SMALL, WHOLE, MOE]))
def test_a_larger_card_never_holds_less(gib: float, more: float, llm: Model) -> None:
    """A model that fits a card fits a larger one, with no shorter context."""
    less, card = planned(gib, ASR, llm), planned(gib + more, ASR, llm)
    assert less is None or card is not None
    if less is not None and card is not None:
        assert (card.context_tokens or 0) >= (less.context_tokens or 0)


def test_twelve_gib() -> None:
    """The four answers that the design promises."""
    small, whole = planned(12, ASR, SMALL), planned(12, ASR, WHOLE)
    assert small is not None
    assert small.context_tokens == 32768
    assert whole is not None
    assert whole.context_tokens is not None
    assert 4096 <= whole.context_tokens < 8192, "tight"
    assert planned(12, ASR, MOE) is None
    moe = planned(16, ASR, MOE)
    assert moe is not None
    assert moe.token_bytes == 26 * (512 + 64) * 2, "latent and rotary numbers, once for all heads"
    assert moe.context_tokens == 72192
    assert planned(16, ASR, MOE_LARGE) is None


def test_what_is_unknown_stays_unknown() -> None:
    """No context is promised for a cache of unknown size."""
    unseen = msgspec.structs.replace(MOE, decoding={"kind": "llm", "weights_bytes": 10_500_000_000})
    card = planned(24, ASR, unseen)
    assert card is not None
    assert (card.context_tokens, card.token_bytes, card.prompts) == (None, None, {})
    assert "--max-model-len" not in " ".join(card.vllm_flags())
    assert "LLM_MAX_CONTEXT" not in card.llm_settings()
    bases = {line.name: line.basis for line in card.lines}
    assert bases[f"{MOE.id}: weights"] == "computed"
    assert bases[f"{ASR.id}: weights"] == "published"


def test_a_refusal_has_every_figure() -> None:
    """The sum in the message is the sum of its parts."""
    with pytest.raises(HostError) as caught:
        plan(12 * GIB, ASR, MOE)
    message = str(caught.value)
    for part in ("12.00 GiB", "14.10 GiB", "weights 10.31 GiB", "workspace 1.00 GiB"):
        assert part in message
    with pytest.raises(HostError, match="of cache for 4096 tokens"):
        plan(11 * GIB, ASR, WHOLE)


def test_limits_flow_into_both_programs() -> None:
    """vLLM's flags and ONNX Runtime's arena come from the same plan."""
    card = plan(12 * GIB, ASR, SMALL)
    assert card.vllm_flags() == [
        f"--gpu-memory-utilization={card.llm_share}",
        f"--kv-cache-memory-bytes={card.cache_bytes}",
        "--max-model-len=32768",
    ]
    assert card.llm_settings() == {
        "LLM_MEMORY": str(card.llm_share),
        "LLM_MAX_CONTEXT": "32768",
    }
    assert card.onnxruntime_options()["gpu_mem_limit"] == str(card.arena_bytes)


def test_vllm_starts_at_every_context_that_is_promised() -> None:
    """vLLM's own condition: whole blocks for the longest context beside the one it never gives."""
    for mib in range(11 << 10, 18 << 10, 7):
        card = planned(mib / 1024, ASR, WHOLE)
        if card is None or card.context_tokens is None or card.token_bytes is None:
            continue
        for block in (16, 32, 64, 128, 256):
            blocks = card.cache_bytes // (block * card.token_bytes)
            assert -(-card.context_tokens // block) + 1 <= blocks


def test_no_language_model_no_flags() -> None:
    """A cache of no bytes would tell vLLM to measure for itself."""
    card = plan(12 * GIB, ASR, None)
    assert (card.vllm_flags(), card.llm_settings(), card.context_tokens) == ([], {}, None)
    assert card.onnxruntime_options()["gpu_mem_limit"] == str(card.arena_bytes)


def test_one_setting_holds_both() -> None:
    """The plan of policy.toml; without memory no plan; else the manifest's defaults."""
    registry = Registry.load(ROOT)
    policy = parse_policy(b'[gpu]\nvram_gib = 12\nasr = "gigaam-v3-e2e-rnnt"\n')
    assert shared(policy.gpu, registry) == plan(12 * GIB, ASR, WHOLE)
    assert shared(parse_policy(b"").gpu, registry) is None
    alone = parse_policy(b'[gpu]\nvram_gib = 12\nasr = "none"\nllm = "qwen3-4b-awq"').gpu
    assert shared(alone, registry) == plan(12 * GIB, None, SMALL)
    small = parse_policy(b"[gpu]\nvram_gib = 4").gpu
    with pytest.raises(HostError):
        shared(small, registry)


def test_models_must_be_what_their_place_needs() -> None:
    """A recogniser is no language model; an unknown size is no plan."""
    blank = msgspec.structs.replace(MOE, decoding={"kind": "llm"})
    for asr, llm in ((ASR, ASR), (SMALL, SMALL), (ASR, blank)):
        with pytest.raises(InputError):
            plan(24 * GIB, asr, llm)


def test_servers_that_plan_load_no_builder() -> None:
    """The plan is arithmetic over the manifest: neither the forge nor speech comes with it."""
    code = (
        "import sys, glagol.models.gpu_plan; "
        "print([n for n in sys.modules if n.startswith(('glagol.forge', 'glagol.speech'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
