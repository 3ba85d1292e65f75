"""Fixtures: a home with a made-up encoder, an open one, and one real server for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embed import made
from glagol.embed.engine import Embedder
from glagol.registry.registry import Registry


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `made.make_home`."""
    return made.make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def embedder(home: Path) -> Embedder:
    """The made-up encoder in fp32."""
    return Embedder.open(Registry.load(home), variant="cpu-fp32")


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[made.Server]:
    """One server for every test that needs no other settings."""
    running = made.start(home, tmp_path_factory.mktemp("server"), EMBED_VARIANT="cpu-fp32")
    yield running
    assert running.stop() == 0, running.log.read_text()
