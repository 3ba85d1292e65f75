"""Recordings, and recognisers of every model and precision; each is opened once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import homes
import sounds
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer

CASES = [(model, f"cpu-{p}") for model in (homes.MODEL, homes.OTHER) for p in ("fp32", "int8")]
"""Model and variant."""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The repository's own."""
    return homes.repository()


@pytest.fixture(scope="session")
def open_model(registry: Registry) -> Callable[..., Recognizer]:
    """Opens a model's variant with a number of threads."""

    @cache
    def opened(model: str, variant: str, threads: int = 1) -> Recognizer:
        return Recognizer.open(
            registry, model=model, variant=variant, runtime=Runtime(threads=threads)
        )

    return opened


@pytest.fixture(scope="session")
def recordings() -> dict[str, bytes]:
    """Audio for the encoder in one piece, and for voice detection and several chunks."""
    return {"short": sounds.clip(), "long": sounds.long_speech(45)}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with real models."""
    return homes.make_home(tmp_path_factory.mktemp("home"))
