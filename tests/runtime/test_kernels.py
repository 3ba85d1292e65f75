"""A transcript names the kernels that computed it: those that its session really uses."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from glagol.registry.registry import Registry
from glagol.runtime.kernels import adapt, amx, choice
from glagol.runtime.options import Runtime
from glagol.runtime.session import open_session
from glagol.speech.engines.gigaam import engine
from glagol.speech.engines.gigaam.engine import Acoustic
from glagol.speech.output.formats import as_data
from glagol.speech.pipeline.recognizer import Recognizer
from speech import made
from speech.conftest import MODELS


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The libraries that encoders' sessions were given."""
    seen: list[str | None] = []

    def recorded(*args: Any, library: str | None, **kwargs: Any) -> object:
        seen.append(library)
        return open_session(*args, library=library, **{**kwargs, "device": "cpu"})

    monkeypatch.setattr(engine, "open_session", recorded)
    return seen


@pytest.fixture
def stand_in(library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A library that this processor can use, loaded from a file that may change."""
    path = tmp_path / "library.so"
    shutil.copy(library, path)
    assert amx.ready(str(path))
    monkeypatch.setattr(engine, "library", lambda: str(path))
    return str(path)


def kernels_of(registry: Registry, model: str = MODELS["ctc"]) -> str | None:
    """Digest of the kernels in the provenance of a transcript, as it is sent."""
    recognizer = Recognizer.open(
        registry, model=model, variant="cpu-fp32", runtime=Runtime(threads=1)
    )
    data = as_data(recognizer.transcribe(io.BytesIO(made.said("да"))))
    found: str | None = data["provenance"]["kernels_sha256"]
    return found


@pytest.mark.parametrize("model", MODELS.values())
def test_the_library_of_the_session_is_named(
    registry: Registry, given: list[str | None], stand_in: str, model: str
) -> None:
    """By the digest of what was loaded, also when another file has come in its place since."""
    digest = hashlib.sha256(Path(stand_in).read_bytes()).hexdigest()
    for _ in range(2):
        assert kernels_of(registry, model) == digest
        Path(stand_in).unlink()
        Path(stand_in).write_bytes(b"a newer one")
    assert given == [stand_in] * 2


def test_a_library_that_computes_nothing_is_not_named(
    registry: Registry, given: list[str | None], stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph does not ask for it: what was given is not what computed."""
    monkeypatch.setattr(adapt, "PRODUCER", "another")
    assert kernels_of(registry) is None
    assert given == [stand_in]


def test_kernels_may_be_switched_off(
    registry: Registry, given: list[str | None], stand_in: str
) -> None:
    """The session is given no library then, where it could use one."""
    found = Recognizer.open(
        registry, model=MODELS["ctc"], runtime=Runtime(threads=1, kernels=False)
    )
    assert found.provenance.kernels_sha256 is None
    assert given == [None]


def test_without_the_library_there_is_none(
    registry: Registry, given: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No AMX: null, and not the digest of the file that lies there all the same."""
    monkeypatch.setattr(engine, "library", lambda: None)
    assert kernels_of(registry) is None
    assert given == [None]
    assert Path(amx.library_file()).is_file()


def test_cuda_has_none(
    registry: Registry,
    given: list[str | None],
    stand_in: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A processor with AMX beside the card: what it could do is not what was done."""
    monkeypatch.setattr(engine, "provider_of", lambda _: "CUDAExecutionProvider")
    opened = registry.open(MODELS["ctc"], "cpu-fp32")
    variant = msgspec.structs.replace(opened.variant, provider="cuda")
    found = Acoustic(dataclasses.replace(opened, variant=variant), device="cuda", threads=1)
    assert found.provenance.kernels_sha256 is None
    assert given == [None]


def test_this_processor_tells_the_truth(recognizer: Callable[..., Recognizer]) -> None:
    """Nothing replaced: the digest of the committed library where it can be used, else null."""
    digest = hashlib.sha256(Path(amx.library_file()).read_bytes()).hexdigest()
    path = choice.library()
    operators = choice.operators_of(path) if path else frozenset()
    for precision in ("fp32", "int8"):
        found = recognizer(precision=precision).provenance
        used = "MatMul" in operators or (found.variant == "cpu-int8" and choice.multiplies_int8())
        assert found.kernels_sha256 == (digest if used else None)
