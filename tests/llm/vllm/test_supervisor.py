"""The supervisor over a real child process: why it does not serve, and when it tries again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from glagol.core.errors import HostError, InputError, LimitError
from glagol.llm.settings import Settings
from glagol.llm.vllm import supervisor, warmup
from glagol.llm.vllm.arguments import Launch, served
from glagol.llm.vllm.client import Message, Upstream, connect
from glagol.llm.vllm.supervisor import Supervisor
from glagol.registry.registry import Registry
from llm import stub, tiny
from llm.running import ANSWER, alive

PATIENCE_S = 100.0
SMALL = (
    "ValueError: Free memory on device cuda:0 (1.2/11.9 GiB) on startup is less than desired"
    " GPU memory utilization (0.6, 7.1 GiB)."
)


@asynccontextmanager
async def kept(home: Path, folder: Path, python: str = "") -> AsyncIterator[Supervisor]:
    """A supervisor over the stub in `folder`; at the end no process of it is left."""
    given = python or str(stub.write(folder))
    settings = Settings(device="cpu", python=given, max_concurrent=2)
    registry = Registry.load(home)
    launch = Launch(settings, registry, served(registry, tiny.MODEL, "cpu"), home)
    async with connect(str(launch.socket), launch.key) as client:
        made = Supervisor(launch, Upstream(client, "m", 8192), warmup.prove, time.monotonic)
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            made.stop()
            await running
            launch.remove()
    seen = folder / "pids"
    assert not seen.exists() or not any(alive(int(pid)) for pid in seen.read_text().split())


async def until(what: Callable[[], object]) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def trouble_of(made: Supervisor) -> str:
    """Code and message of the trouble, when it is more than that the start is not over."""
    if made.trouble is None or "being verified" in made.trouble.message:
        return ""
    return f"{made.trouble.code}: {made.trouble.message}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_S", 0.05)
    monkeypatch.setattr(supervisor, "LOOK_S", 0.05)
    (tmp_path / "answer").write_text(ANSWER)


@pytest.mark.parametrize(
    ("says", "expected"),
    [(SMALL, "vram_too_small"), ("RuntimeError: no kernel for this card", "llm_unavailable")],
)
def test_a_start_that_fails_is_tried_again(
    llm_home: Path, tmp_path: Path, says: str, expected: str
) -> None:
    """The trouble is vLLM's own reason; when the reason is gone, the next try serves."""

    async def scene() -> None:
        (tmp_path / "refuse").write_text(says)
        async with kept(llm_home, tmp_path) as made:
            await until(lambda: trouble_of(made))
            assert trouble_of(made).startswith(expected)
            assert says[:40] in trouble_of(made)
            assert made.retry_after_s() >= 1
            with pytest.raises(HostError):
                made.upstream()
            (tmp_path / "refuse").unlink()
            await until(lambda: made.trouble is None)
            assert made.starts >= 2

    asyncio.run(scene())


def test_a_silent_process_is_replaced(llm_home: Path, tmp_path: Path) -> None:
    """A process that lives and does not answer /health is killed and started again."""

    async def scene() -> None:
        async with kept(llm_home, tmp_path) as made:
            await until(lambda: made.trouble is None)
            (tmp_path / "sick").touch()
            await until(lambda: trouble_of(made))
            assert "silent" in trouble_of(made)
            assert not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split()[:2])
            (tmp_path / "sick").unlink()
            await until(lambda: made.trouble is None)
            assert made.starts >= 2

    asyncio.run(scene())


def test_a_wrong_known_answer_is_not_served(llm_home: Path, tmp_path: Path) -> None:
    """A process that answers outside its grammar never becomes ready."""

    async def scene() -> None:
        (tmp_path / "answer").write_text('{ "answer": "да" }')
        async with kept(llm_home, tmp_path) as made:
            await until(lambda: trouble_of(made))
            assert trouble_of(made).startswith("not_ready")
            assert "known prompt" in trouble_of(made)

    asyncio.run(scene())


def test_altered_bytes_never_reach_vllm(tmp_path: Path) -> None:
    """The file is named; nothing is started, not even later."""

    async def scene() -> None:
        home = tiny.make_home(tmp_path / "home")
        blob = tiny.blob(home, "model.safetensors")
        data = bytearray(blob.read_bytes())
        data[-1] ^= 1
        blob.unlink()
        blob.write_bytes(data)
        async with kept(home, tmp_path) as made:
            await until(lambda: trouble_of(made))
            assert trouble_of(made).startswith("artifact_altered: model.safetensors")
            assert made.starts == 0
        assert not (tmp_path / "seen.json").exists()

    asyncio.run(scene())


def test_a_missing_vllm_is_said(llm_home: Path, tmp_path: Path) -> None:
    """No interpreter: the trouble says how to make the environment."""

    async def scene() -> None:
        async with kept(llm_home, tmp_path, "/nowhere/python") as made:
            await until(lambda: trouble_of(made))
            assert trouble_of(made).startswith("llm_unavailable")
            assert "/nowhere/python" in trouble_of(made)
            assert made.trouble is not None
            assert "./just env llm-cuda" in made.trouble.remedy

    asyncio.run(scene())


SLOW = """
import asyncio, threading, time
from typing import Any, cast
from glagol.llm.vllm.supervisor import Supervisor

begun = threading.Event()

class Slow:
    def prepare(self) -> None:
        begun.set()
        threading.Event().wait()  # for ever, as long as the digest of a large file may take

async def scene() -> None:
    made = Supervisor(cast(Any, Slow()), cast(Any, None), cast(Any, None), time.monotonic)
    running = asyncio.create_task(made.run())
    while not begun.is_set():
        await asyncio.sleep(0.01)
    for _ in range(int({stops})):
        made.stop()
        await asyncio.sleep(0)
    await running
    print("returned", flush=True)

asyncio.run(scene())
"""


@pytest.mark.parametrize("stops", [1, 2])
def test_a_stop_does_not_wait_for_a_digest(stops: int) -> None:
    """A process whose model is still being verified ends: `run` returns, and so does Python."""
    program = SLOW.replace("{stops}", str(stops))
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (found.returncode, found.stdout) == (0, "returned\n"), found.stderr


def test_what_the_server_itself_asks(llm_home: Path, tmp_path: Path) -> None:
    """Completions and token counts; each refusal has its code."""

    async def scene() -> None:
        async with kept(llm_home, tmp_path) as made:
            await until(lambda: made.trouble is None)
            asked = made.upstream()

            async def chat(word: str) -> str:
                message = Message(role="user", content=word)
                return (await asked.chat([message], max_tokens=5, schema={})).text

            assert await chat("hello") == ANSWER
            assert await asked.count_tokens([{"role": "user", "content": "a"}]) == 7
            assert await asked.version() == "stub"
            for word, family, code in (
                ("long", LimitError, "prompt_too_long"),
                ("no route", InputError, "request_invalid"),
                ("fail", HostError, "llm_unavailable"),
                ("echo", HostError, "llm_output_invalid"),
                ("die", HostError, "llm_unavailable"),
            ):
                with pytest.raises(family) as caught:
                    await chat(word)
                assert caught.value.code == code

    asyncio.run(scene())
