"""Fixtures: a registry with real models, and recognisers over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import homes
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session
from glagol.speech.pipeline.recognizer import Recognizer

MODELS = {"ctc": homes.MODEL, "rnnt": homes.OTHER}
"""Model ids by head."""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The registry under test: the repository's own."""
    return homes.repository()


@pytest.fixture(scope="session")
def recognizer(registry: Registry) -> Callable[..., Recognizer]:
    """Recognisers by head ("ctc", "rnnt"), precision and threads; each is opened once."""

    @cache
    def opened(head: str = "ctc", precision: str = "fp32", threads: int = 1) -> Recognizer:
        return Recognizer.open(
            registry,
            model=MODELS[head],
            variant=f"cpu-{precision}",
            runtime=Runtime(threads=threads),
        )

    return opened


@pytest.fixture(scope="session")
def vad_session(registry: Registry) -> onnxruntime.InferenceSession:
    """The voice activity model alone."""
    blobs = registry.open(registry.manifest.defaults.vad).blobs
    return open_session(blobs, next(iter(blobs)), device="cpu", threads=1)
