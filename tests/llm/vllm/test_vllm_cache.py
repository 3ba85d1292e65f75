"""The real vLLM on a CPU, with a cache of so many bytes: what `glagol.models.gpu_plan` counts on.

Runs by build/test-llm alone, as tests/llm/vllm/test_vllm.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glagol.llm.settings import Settings
from glagol.llm.vllm.arguments import command, environment, lay_out, served
from glagol.models.gpu_plan import BLOCK_TOKENS
from glagol.registry.registry import Registry
from llm import tiny

CONTEXT = 2048
TOKEN_BYTES = 2 * tiny.LAYERS * tiny.KV_HEADS * tiny.HEAD * 2  # keys and values of 16 bits
STARTED = "Application startup complete"


@contextmanager
def vllm(home: Path, python: Path, folder: Path, cache_bytes: int) -> Iterator[Iterator[str]]:
    """What a vLLM with this cache writes, until it is left."""
    registry = Registry.load(home)
    what = served(registry, tiny.MODEL, "cpu")
    lay_out(registry, what, folder / "model")
    settings = Settings(device="cpu", memory=0.1, max_concurrent=1, max_context=CONTEXT)
    line = command(settings, what, python, folder / "model", folder / "s", cache_bytes)
    given = environment(os.environ, "key", folder, None)
    process = subprocess.Popen(
        line,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield iter(process.stdout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def test_a_promised_context_starts(llm_home: Path, vllm_python: Path, tmp_path: Path) -> None:
    """With the block that the plan leaves out; vLLM counts the cache in the same bytes."""
    tokens = CONTEXT + BLOCK_TOKENS
    with vllm(llm_home, vllm_python, tmp_path, tokens * TOKEN_BYTES) as lines:
        said = []
        for line in lines:
            said.append(line)
            if STARTED in line:
                break
        text = "".join(said)
    assert STARTED in text
    assert f"KV cache size: {tokens:,} tokens" in text


def test_a_cache_of_just_the_context_does_not(
    llm_home: Path, vllm_python: Path, tmp_path: Path
) -> None:
    """Since one block of it is never given out."""
    with vllm(llm_home, vllm_python, tmp_path, CONTEXT * TOKEN_BYTES) as lines:
        text = "".join(lines)
    assert STARTED not in text
    assert "max_model_len" in text
