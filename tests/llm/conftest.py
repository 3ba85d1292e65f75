"""Fixtures: a home with the tiny model, and a real llm-server over the stub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm import stub, tiny
from llm.running import ANSWER, VLLM, Running, alive, descendants, start


@pytest.fixture(scope="session")
def llm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest and store with the tiny model; not to be changed."""
    return tiny.make_home(tmp_path_factory.mktemp("llm-home"))


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers over the stub in `tmp_path`, which holds the stub's files; ends them."""
    made: list[Running] = []

    def make(home: Path, **settings: Any) -> Running:
        (tmp_path / "answer").write_text(ANSWER)
        made.append(start(home, tmp_path, stub.write(tmp_path), **settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def server(llm_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server over the stub, with two places, for tests that leave it alive."""
    folder = tmp_path_factory.mktemp("llm")
    (folder / "answer").write_text(ANSWER)
    running = start(llm_home, folder, stub.write(folder), LLM_MAX_CONCURRENT="2")
    running.ready()
    yield running
    assert running.stop() == 0
    assert not running.left


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Interpreter of a real vLLM; `build/test-llm` names it, elsewhere the test is skipped."""
    given = os.environ.get("GLAGOL_VLLM_PYTHON", "")
    if not given:
        pytest.skip("the real vLLM has a run of its own: build/test-llm")
    return Path(given)


@pytest.fixture(scope="session")
def vllm_server(
    llm_home: Path, vllm_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server over the real vLLM and the tiny model; started once, since that takes a minute."""
    folder = tmp_path_factory.mktemp("vllm")
    running = start(llm_home, folder, vllm_python, 900.0, **VLLM)
    running.ready()
    yield running
    family = descendants(running.process.pid)
    assert running.stop() == 0
    assert not [pid for pid in family if alive(pid)], "a process was left behind"
    assert not [name for name in running.left if name.startswith("glagol-llm-")]
