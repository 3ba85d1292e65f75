"""Fixtures: applications without a model, and one real server for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asr.bench import Bench, make
from glagol.asr.engine import Engine


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Builds benches from settings; their threads end with the test."""
    engines: list[Engine] = []

    def build(trouble: Exception | None = None, **settings: Any) -> Bench:
        bench = make(trouble, **settings)
        engines.append(bench.service.engine)
        return bench

    yield build
    for engine in engines:
        engine.close(5.0)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench with default settings."""
    return make_bench()
