"""Fixtures: a registry with real models, and recognisers over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest

import homes
from glagol.registry.registry import Registry
from glagol.speech import session
from glagol.speech.recognizer import Recognizer
from glagol.speech.runtime import onnxruntime
from glagol.speech.session import open_session
from speech.unit import CHECKED, library_in, without_arena

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
            registry, model=MODELS[head], variant=f"cpu-{precision}", threads=threads
        )

    return opened


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The library of kernels, with the matrix unit in C where the processor has none.

    For one with sanitizers ONNX Runtime takes every tensor from the heap, and none from an arena.
    """
    folder = tmp_path_factory.getbasetemp()
    found = library_in(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
    with pytest.MonkeyPatch.context() as patch:
        if CHECKED:
            patch.setattr(session, "_options", without_arena(session._options))
        yield found


@pytest.fixture(scope="session")
def vad_session(registry: Registry) -> onnxruntime.InferenceSession:
    """The voice activity model alone."""
    blobs = registry.open(registry.manifest.defaults.vad).blobs
    return open_session(blobs, next(iter(blobs)), device="cpu", threads=1)
