"""`glagol models add` and engines: what the program knows, and what it only passes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.running import Result
from glagol.registry.manifest.read import Manifest, canonical, parse
from registry.made import manifest

Run = Callable[..., Result]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A home with a manifest and a changelog."""
    (tmp_path / "manifest.json").write_bytes(canonical(manifest()))
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    return tmp_path


def now(home: Path) -> Manifest:
    """The manifest in force."""
    return parse((home / "manifest.json").read_bytes())


def added(glagol: Run, home: Path, name: str, engine: str, *rest: str) -> Result:
    """`models add` with what every entry needs."""
    facts = ("--version", "1", "--license", "MIT", "--home", home, "--source", "https://host/w")
    return glagol("models", "add", name, "--engine", engine, *facts, *rest)


def test_an_engine_of_another_version_states_its_role(glagol: Run, shelf: Path) -> None:
    """What this program cannot run is added on purpose only, and needs a reader of roles."""
    refused = added(glagol, shelf, "new", "later")
    assert refused.status == 2
    assert "--role" in refused.err
    assert added(glagol, shelf, "new", "later", "--role", "asr").status == 0
    found = now(shelf)
    assert (found.models[-1].role, found.models[-1].engine) == ("asr", "later")
    assert found.min_reader_version == 2
    refused = added(glagol, shelf, "m-2", "gigaam", "--decoding", "ctc", "--role", "vad")
    assert refused.status == 2
    assert added(glagol, shelf, "m-2", "gigaam", "--decoding", "ctc", "--role", "asr").status == 0
    assert now(shelf).models[-1].role is None


def test_asking_an_unknown_engine_to_transcribe_names_the_known(glagol: Run, shelf: Path) -> None:
    """The command says which engine is unknown and which are not, before it opens any file."""
    assert added(glagol, shelf, "new", "later", "--role", "asr").status == 0
    sound = shelf / "a.wav"
    sound.write_bytes(b"RIFF")
    result = glagol("transcribe", "--model", "new", "--home", shelf, sound)
    assert result.status == 2
    assert "'later'" in result.err
    assert "[model_unknown]" in result.err
    assert "gigaam" in result.err


def test_a_new_entry_has_every_parameter_of_its_family(glagol: Run, shelf: Path) -> None:
    """The family writes its defaults out, as the entries of the release have them."""
    assert added(glagol, shelf, "new-rnnt", "gigaam", "--decoding", "rnnt").status == 0
    assert added(glagol, shelf, "new-vad", "silero").status == 0
    assert added(glagol, shelf, "new-llm", "vllm").status == 0
    rnnt, vad, talker = (model.decoding for model in now(shelf).models[-3:])
    parameters = {"max_symbols": 10, "sample_rate": 16_000, "subsampling": 4, "window_s": 25.0}
    assert rnnt == {"kind": "rnnt", **parameters}
    assert vad is not None
    assert (vad["kind"], vad["threshold"], vad["sample_rate"]) == ("vad", 0.5, 16_000)
    assert talker == {"kind": "llm"}
    assert now(shelf).min_reader_version == 1
