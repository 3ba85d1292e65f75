"""Which models a request may name: those that transcribe, by an engine that this program has."""

from __future__ import annotations

import pathlib

import pytest

from glagol.asr.http.options import OptionError, model_of
from glagol.core.errors import InputError
from glagol.registry.manifest import edit
from glagol.registry.registry import Registry
from glagol.registry.store import Store
from registry.made import asr_model, manifest

LATER = {"kind": "later"}


def registry() -> Registry:
    """A recogniser "m", a detector "vad", one of a later version "new", one without a role."""
    entries = asr_model("new", decoding=LATER, role="asr", engine="later")
    value = edit.add(manifest(), entries)
    value = edit.add(value, asr_model("blank", decoding=LATER, engine="later"))
    return Registry(value, "0" * 64, Store(pathlib.Path("nowhere")))


def test_a_recogniser_is_served() -> None:
    """By its role, whatever its engine is called."""
    assert model_of("m", registry()).id == "m"


@pytest.mark.parametrize("name", ["vad", "blank"])
def test_what_does_not_transcribe_is_refused(name: str) -> None:
    """Another role, or none: the parameter is wrong."""
    with pytest.raises(OptionError, match="does not transcribe") as caught:
        model_of(name, registry())
    assert caught.value.parameter == "model"


def test_an_unknown_engine_is_refused_before_the_body_is_read() -> None:
    """The error names the engine and those that there are."""
    with pytest.raises(InputError, match="'later'") as caught:
        model_of("new", registry())
    assert caught.value.code == "model_unknown"
    assert "gigaam" in caught.value.remedy
