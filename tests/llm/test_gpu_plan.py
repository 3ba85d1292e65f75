"""One setting for one card: what policy.toml says holds vLLM and the recogniser's encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from glagol.asr.bootstrap import _memory_bytes
from glagol.asr.settings import Settings
from glagol.llm.server import _assemble, main
from glagol.models.gpu_plan import shared
from glagol.registry.registry import Registry
from glagol.web.access.policy import parse


def environment(home: Path, state: Path, policy: str, device: str = "cuda") -> dict[str, str]:
    """Of an llm-server with this policy."""
    state.mkdir()
    (state / "policy.toml").write_text(policy)
    return {
        "GLAGOL_HOME": str(home),
        "LLM_DEVICE": device,
        "LLM_STATE": str(state),
        "LLM_PYTHON": "/bin/true",
    }


def test_a_model_without_room_is_not_started(
    llm_home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 5 with the figures, before vLLM is looked at."""
    given = environment(llm_home, tmp_path / "state", '[gpu]\nvram_gib = 1.5\nasr = "none"\n')
    assert main(given) == 5
    stderr = capfd.readouterr().err
    assert "vram_too_small" in stderr
    assert "1.50 GiB" in stderr


def test_the_plan_reaches_vllm(llm_home: Path, tmp_path: Path) -> None:
    """Its share, its cache to the byte, its context; the operator's smaller context stays."""
    policy = '[gpu]\nvram_gib = 12\nasr = "gigaam-v3-e2e-rnnt"\n'
    given = environment(llm_home, tmp_path / "state", policy)
    components = _assemble({**given, "LLM_MEMORY": "0.97"})
    try:
        gpu = parse(policy.replace("\nasr", '\nllm = "tiny-qwen3"\nasr').encode()).gpu
        card = shared(gpu, components.registry)
        assert card is not None
        line = components.launch.line()
        share = line[line.index("--gpu-memory-utilization") + 1]
        assert float(share) == card.llm_share < 0.97
        cache = line[line.index("--kv-cache-memory-bytes") + 1]
        assert int(cache) == card.cache_bytes > 0
        assert components.settings.max_context == 8192
    finally:
        components.launch.remove()


@pytest.mark.parametrize(("policy", "device"), [("", "cuda"), ("[gpu]\nvram_gib = 12\n", "cpu")])
def test_without_a_plan_vllm_sizes_its_cache(
    llm_home: Path, tmp_path: Path, policy: str, device: str
) -> None:
    """No plan, or no card: the operator's share, and no bytes of a cache."""
    given = environment(llm_home, tmp_path / "state", policy, device)
    components = _assemble({**given, "LLM_MEMORY": "0.5"})
    try:
        line = components.launch.line()
        assert "--kv-cache-memory-bytes" not in line
        assert line[line.index("--gpu-memory-utilization") + 1] == "0.5"
    finally:
        components.launch.remove()


def test_the_plan_reaches_the_encoder(llm_home: Path) -> None:
    """As its arena's limit; on a CPU, or without a plan, there is none."""
    registry = Registry.load(llm_home)
    policy = parse(b'[gpu]\nvram_gib = 12\nasr = "gigaam-v3-e2e-rnnt"\nllm = "qwen3-4b-awq"\n')
    card = shared(policy.gpu, registry)
    assert card is not None
    assert _memory_bytes(Settings(device="cuda"), registry, policy) == card.arena_bytes > 1 << 30
    assert _memory_bytes(Settings(device="cpu"), registry, policy) == 0
    assert _memory_bytes(Settings(device="cuda"), registry, parse(b"")) == 0
