"""Fixtures: those of the speech tests, and the library of kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from glagol.runtime import session
from runtime.unit import CHECKED, library_in, without_arena
from speech.conftest import recognizer, registry, vad_session

__all__ = ["library", "recognizer", "registry", "vad_session"]


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
