"""`glagol plan-gpu`: the table, the refusal, the same for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cli.running import Result

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]


def test_the_table_has_every_language_model(glagol: Run) -> None:
    """What fits has a context, what does not has the reason; the table itself is no error."""
    result = glagol("plan-gpu", "--vram", 12, "--home", ROOT)
    assert result.status == 0
    assert "longest context: 32768 tokens" in result.out
    assert "gigachat3-10b-a1.8b\n    does not fit: the card has 12.00 GiB" in result.out
    assert "LLM_MEMORY=" in result.out
    assert "gpu_mem_limit=" in result.out


def test_one_model_that_does_not_fit_is_an_error(glagol: Run) -> None:
    """Exit 5 with the code, for programs on standard output."""
    asked = ("plan-gpu", "--vram", 12, "--home", ROOT, "--llm", "gigachat3-10b-a1.8b")
    result = glagol(*asked)
    assert (result.status, result.out) == (5, "")
    assert "vram_too_small" in result.err
    answer = glagol(*asked, "--json")
    assert answer.status == 5
    assert json.loads(answer.out)[0]["error"]["code"] == "vram_too_small"


def test_programs_get_flags(glagol: Run) -> None:
    """Flags, settings and provider options of one plan; either model may be elsewhere."""
    asked = ("plan-gpu", "--vram", 12, "--home", ROOT, "--json", "--llm")
    row = json.loads(glagol(*asked, "qwen3-4b-awq").out)[0]
    assert row["fits"]
    assert row["vllm_flags"][0] == f"--gpu-memory-utilization={row['llm_share']}"
    assert row["onnxruntime_options"]["gpu_mem_limit"] == str(row["arena_bytes"])
    alone = json.loads(glagol(*asked, "qwen3-4b-awq", "--asr", "none").out)[0]
    assert alone["cache_bytes"] > row["cache_bytes"]
    assert json.loads(glagol(*asked, "none").out)[0]["cache_bytes"] == 0
    assert glagol(*asked, "gigaam-nano").status == 2
