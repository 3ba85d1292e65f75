"""Fixtures: applications without a model, and one real server for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asr.bench import Bench, make
from asr.process import Server, start
from homes import make_home


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Builds benches from settings; their threads end with the test."""
    benches: list[Bench] = []

    def build(trouble: Exception | None = None, **settings: Any) -> Bench:
        bench = make(trouble, **settings)
        benches.append(bench)
        return bench

    yield build
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench with default settings."""
    return make_bench()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a real model; see `homes.make_home`."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for every test that needs no other settings."""
    running = start(home, tmp_path_factory.mktemp("server") / "scratch", ASR_QUEUE_SIZE="2")
    yield running
    assert running.stop() == 0
    assert not [*running.scratch.iterdir(), *running.own.iterdir()], "something was left behind"
