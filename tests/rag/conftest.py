"""Fixtures: a home with a made-up encoder, and libraries of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embed import made
from glagol.embed.engine import Embedder
from glagol.rag.library import Library
from glagol.registry.registry import Registry


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `made.make_home`."""
    return made.make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def embedder(home: Path) -> Embedder:
    """The made-up encoder."""
    return Embedder.open(Registry.load(home), variant="cpu-fp32")


@pytest.fixture(params=["edge", "exact"])
def library(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder
) -> Iterator[Callable[[], Library]]:
    """Opens the library of a folder again and again; at most one is open."""
    opened: list[Any] = []

    def again() -> Library:
        while opened:
            opened.pop().close()
        opened.append(Library(tmp_path / "index", embedder, request.param))
        found: Library = opened[0]
        return found

    yield again
    while opened:
        opened.pop().close()
