"""Fixtures: a registry with real models, and recognisers over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from glagol.registry.registry import Registry
from glagol.speech.recognizer import Recognizer
from glagol.speech.runtime import onnxruntime
from glagol.speech.session import open_session
from speech import made

SCRATCH = Path(__file__).resolve().parents[2] / ".work"
BUILT = SCRATCH / "proto"
SILERO = SCRATCH / "silero/silero_vad/data/silero_vad_16k_sequence.onnx"
MODELS = {"ctc": "proto-ctc", "rnnt": "proto-rnnt"}
"""Model ids by head in the registry of the tests."""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry under test; the one place that knows where models come from."""
    if not (BUILT.is_dir() and SILERO.is_file()):
        pytest.skip("no built models here")
    return made.registry_of(tmp_path_factory.mktemp("home"), BUILT, SILERO)


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
def vad_session(registry: Registry) -> onnxruntime.InferenceSession:
    """The voice activity model alone."""
    blobs = registry.open(registry.manifest.defaults.vad).blobs
    return open_session(blobs, next(iter(blobs)), device="cpu", threads=1)
