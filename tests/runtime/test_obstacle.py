"""Where the operator library is not used, the reason is reported, on any processor."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from glagol.runtime.kernels import amx


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is made for this machine, whichever it is."""
    monkeypatch.setattr(amx, "SYSTEM", (sys.platform, platform.machine()))


def unit(monkeypatch: pytest.MonkeyPatch, ready: int) -> None:
    """A library that loads anywhere and says this about the unit."""
    library = SimpleNamespace(glagol_amx_ready=lambda: ready)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)


@pytest.mark.usefixtures("here")
def test_a_unit_that_can_be_used_is(monkeypatch: pytest.MonkeyPatch) -> None:
    unit(monkeypatch, 1)
    assert amx.obstacle() == ""
    assert amx.library.__wrapped__() == amx.library_file()


@pytest.mark.usefixtures("here")
def test_a_unit_that_is_not_there_or_not_ours_is_an_obstacle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit(monkeypatch, 0)
    assert amx.obstacle() == amx.REFUSED
    assert amx.library.__wrapped__() is None


def test_another_system_is_an_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason gives both names; the library is not even loaded."""
    monkeypatch.setattr(amx, "SYSTEM", ("plan9", "pdp11"))
    monkeypatch.delattr(ctypes, "CDLL")
    assert amx.obstacle() == f"made for plan9 pdp11, this is {sys.platform} {platform.machine()}"
    assert amx.library.__wrapped__() is None


@pytest.mark.usefixtures("here")
def test_a_library_that_cannot_be_loaded_is_an_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies there is no library: ONNX Runtime's products, and the loader's words."""
    path = tmp_path / "library.so"
    path.write_bytes(b"no library")
    monkeypatch.setattr(amx, "library_file", lambda: str(path))
    assert amx.obstacle().startswith("cannot be loaded: ")
    assert str(path) in amx.obstacle()
    assert amx.library.__wrapped__() is None
