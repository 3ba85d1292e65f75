"""Fixtures: one real server for the session, and gateways without a recogniser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asr.process import Server
from gateway.serving import serve
from homes import make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a real model; see `homes.make_home`."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def serving(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`glagol serve` for every test that needs no other settings."""
    server = serve(home, tmp_path_factory.mktemp("serving"))
    yield server
    assert server.stop() == 0, server.log.read_text()
