"""Give int8 builds up for fp32 where int8 products saturate, and say so in provenance."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import homes
from glagol.registry.registry import Registry
from glagol.runtime import builds
from glagol.runtime.kernels import int8
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer
from speech.conftest import MODELS

CLIP = homes.ROOT / "models/gigaam-nano/golden/clip.flac"


def opened(registry: Registry, variant: str | None) -> Recognizer:
    """The CTC model with one thread."""
    return Recognizer.open(
        registry, model=MODELS["ctc"], variant=variant, runtime=Runtime(threads=1)
    )


def test_fp32_takes_the_place_of_int8(
    registry: Registry,
    recognizer: Callable[..., Recognizer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The transcript is fp32's, and its provenance names the build that ran."""
    monkeypatch.setattr(builds, "inexact", lambda **_: True)
    with CLIP.open("rb") as file:
        found = opened(registry, "cpu-int8").transcribe(file)
    with CLIP.open("rb") as file:
        expected = recognizer(precision="fp32").transcribe(file)
    assert found.segments == expected.segments
    assert found.provenance == expected.provenance
    assert found.provenance.variant == "cpu-fp32"


def test_int8_stays_where_fp32_is_not_in_the_store(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was given int8 alone is served with it."""
    monkeypatch.setattr(builds, "inexact", lambda **_: True)
    model = registry.model(MODELS["ctc"])
    single = {a.sha256 for v in model.variants if v.precision == "fp32" for a in v.artifacts}
    has = registry.store.has
    absent = single - {a.sha256 for v in model.variants if v.id == "cpu-int8" for a in v.artifacts}
    monkeypatch.setattr(
        type(registry.store), "has", lambda _, sha256: sha256 not in absent and has(sha256)
    )
    found = opened(registry, "cpu-int8").provenance
    assert found.variant == "cpu-int8"


def test_nothing_is_replaced_where_products_are_exact(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for runs."""
    monkeypatch.setattr(builds, "inexact", lambda **_: False)
    found = opened(registry, "cpu-int8").provenance
    assert found.variant == "cpu-int8"


@pytest.mark.parametrize("variant", [None, "cpu-fp32"])
def test_other_precisions_are_not_replaced(
    registry: Registry, variant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table names int8 alone."""
    monkeypatch.setattr(builds, "inexact", lambda **_: True)
    found = opened(registry, variant).provenance
    assert found.variant == "cpu-fp32"


def test_the_answer_is_the_processors() -> None:
    """On Linux it is that of /proc/cpuinfo; elsewhere nothing is replaced."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        assert not int8.saturates()
        return
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert int8.saturates() == (not flags & {"avx512_vnni", "avx_vnni"})


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("saturates", [False, True])
def test_our_library_makes_int8_exact(
    monkeypatch: pytest.MonkeyPatch, ours: bool, saturates: bool
) -> None:
    """Where it multiplies, and only for a model all of whose products are such as it computes."""
    monkeypatch.setattr(int8, "saturates", lambda: saturates)
    monkeypatch.setattr(int8, "multiplies_int8", lambda: ours)
    assert int8.inexact(kernels=True) is (saturates and not ours)
    assert int8.inexact(kernels=False) is saturates


def test_without_kernels_fp32_takes_the_place_of_int8(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ASR_KERNELS=off leaves the products to ONNX Runtime, whose sums saturate."""
    monkeypatch.setattr(int8, "saturates", lambda: True)
    monkeypatch.setattr(int8, "multiplies_int8", lambda: True)
    for kernels, variant in ((True, "cpu-int8"), (False, "cpu-fp32")):
        found = Recognizer.open(
            registry,
            model=MODELS["ctc"],
            variant="cpu-int8",
            runtime=Runtime(threads=1, kernels=kernels),
        )
        assert found.provenance.variant == variant
