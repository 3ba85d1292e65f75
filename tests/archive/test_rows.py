"""Rows hold transcripts without loss; the ledger says what is done."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import homes
from glagol.archive.decided import decision_of
from glagol.archive.ledger import Ledger
from glagol.archive.rows import FAILED, KEYS, RECORDINGS, failed_row, moved, row_of, transcript_of
from glagol.archive.sources import Source
from glagol.core.errors import InputError
from glagol.registry.registry import Registry
from glagol.speech.output.formats import FORMATS
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.speakers.types import Bounds
from glagol.speech.types import (
    Coverage,
    Notice,
    Options,
    Provenance,
    Segment,
    Transcript,
    VadProvenance,
    Word,
)

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Source("in/a.wav", "a.wav", 7, "12")
VAD = VadProvenance("vad", {"model.onnx": "11" * 32}, {"threshold": 0.5})
PROVENANCE = Provenance(
    model="m",
    model_version="1",
    artifacts={"a": "22" * 32},
    manifest_version=3,
    manifest_sha256="33" * 32,
    variant="cpu-int8",
    provider="cpu",
    onnxruntime="1",
    kernels_sha256=None,
    vad=VAD,
    chunk_plan_sha256="44" * 32,
    audio_sha256="55" * 32,
)
SPLIT = Transcript(
    text="раз два",
    segments=(
        Segment(0.1, 0.7, "раз", (Word(0.1, 0.7, "раз", 0.9),), channel=0),
        Segment(0.5, 1.0, "два", (Word(0.5, 1.0, "два", 0.1, glued=True),), channel=1),
    ),
    duration_s=2.0,
    language="ru",
    coverage=Coverage(3.0, 1.0, (Coverage(1.5, 0.5), Coverage(1.5, 0.5))),
    provenance=PROVENANCE,
    warnings=(Notice("audio_gap", "a gap", 0.5, 0.25), Notice("silent", "nothing")),
)
PLAIN = replace(
    SPLIT,
    segments=(Segment(0.1, 1.0, "раз два"),),
    coverage=Coverage(1.5, 0.5),
    provenance=replace(PROVENANCE, vad=None),
    warnings=(),
)


def filled(value: Any, kind: Any) -> Any:
    """What a table gives back: every field of a struct, those that are missing as nothing."""
    if value is None or isinstance(kind, str):
        return value
    if isinstance(kind, list):
        return [filled(each, kind[0]) for each in value]
    assert set(value) <= set(kind), "a field that no column holds"
    return {name: filled(value.get(name), each) for name, each in kind.items()}


@pytest.mark.parametrize("transcript", [SPLIT, PLAIN], ids=["split", "plain"])
def test_a_row_gives_every_format_again(transcript: Transcript) -> None:
    """Through the columns and back, each writer gives the same bytes."""
    row = row_of(transcript, SOURCE, "d", ["srt"], "1.0.0")
    assert set(row) == set(RECORDINGS)
    again = transcript_of(filled(row, RECORDINGS))
    for form in FORMATS.values():
        if form.name != "rttm" or transcript.coverage.channels:
            assert form.write(again) == form.write(transcript), form.name


def test_a_row_moves_to_another_recording() -> None:
    """Its keys are those of the other one, the text stays."""
    row = row_of(SPLIT, SOURCE, "d", [], "1.0.0")
    other = moved(row, Source("in/b.wav", "b.wav", 7, "13"), "d", ["srt"])
    assert (other["path"], other["version"], other["formats"]) == ("in/b.wav", "13", ["srt"])
    assert other["text"] == row["text"]


def test_the_columns_are_documented() -> None:
    """docs/reference/archive.md has a line for each column of both tables, and no other."""
    text = (ROOT / "docs/reference/archive.md").read_text(encoding="utf-8")
    tables = re.split(r"^## ", text, flags=re.MULTILINE)
    for heading, columns in (("recordings", RECORDINGS), ("failed", FAILED)):
        table = next(part for part in tables if part.startswith(heading))
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(columns)


def test_a_failure_is_a_row() -> None:
    """With the code, what happened and what to do."""
    row = failed_row(SOURCE, InputError("audio_empty", "what", "do"))
    assert set(row) == set(FAILED)
    assert (row["path"], row["code"], row["remedy"]) == ("in/a.wav", "audio_empty", "do")


class TestDecisions:
    """What makes a text wrong, and what does not."""

    @pytest.fixture
    def registry(self) -> Registry:
        """The repository's own."""
        return homes.repository()

    def test_models_and_options_decide(self, registry: Registry) -> None:
        """Another model, voice activity or option gives another digest; a manifest does not."""
        known = replace(PROVENANCE, model=homes.MODEL)
        first = decision_of(known, registry, Options())
        upgraded = replace(known, manifest_version=9, onnxruntime="2", kernels_sha256="66" * 32)
        assert decision_of(upgraded, registry, Options()) == first
        other = replace(known, artifacts={"a": "77" * 32})
        assert not set(decision_of(other, registry, Options()).all) & set(first.all)
        people = Options(speakers=Bounds(1, 9))
        assert not set(decision_of(known, registry, people).all) & set(first.all)

    def test_short_recordings_do_not_depend_on_voice_activity(self, registry: Registry) -> None:
        """A changed detector re-does what it was used for."""
        known = replace(PROVENANCE, model=homes.MODEL)
        changed = replace(known, vad=replace(VAD, parameters={"threshold": 0.6}))
        before, after = (decision_of(each, registry, Options()) for each in (known, changed))
        assert before.whole == after.whole
        assert before.searched != after.searched
        assert before.of(replace(known, vad=None)) == before.whole
        assert before.of(known) == before.searched


class TestLedger:
    """Rows by part; the last one of a path counts."""

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Ledger:
        """An empty one: texts decided by "now" are right."""
        return Ledger(tmp_path / "ledger", ["now"])

    @staticmethod
    def key(path: str, **other: Any) -> dict[str, Any]:
        """The keys of a row."""
        usual = {"audio_sha256": "aa", "size_bytes": 7, "version": "12", "decided_by": "now"}
        found = {"path": path, "formats": ["srt"], **usual, **other}
        assert set(found) == set(KEYS)
        return found

    def test_what_is_done(self, ledger: Ledger) -> None:
        """A file that looks as before, has its formats, and the text of today's models."""
        ledger.take("part-1", [self.key("in/a.wav")])
        srt = frozenset({"srt"})
        assert ledger.unchanged(SOURCE, srt)
        assert ledger.unchanged(SOURCE, frozenset())
        assert not ledger.unchanged(SOURCE, srt | {"txt"})
        assert not ledger.unchanged(Source("in/a.wav", "", 7, "13"), srt)
        assert not ledger.unchanged(Source("in/a.wav", "", 8, "12"), srt)
        assert not ledger.unchanged(Source("in/b.wav", "", 7, "12"), srt)
        ledger.take("part-2", [self.key("in/a.wav", decided_by="then")])
        assert not ledger.unchanged(SOURCE, srt)

    def test_a_source_without_a_version_is_read_again(self, ledger: Ledger) -> None:
        """Nothing says that it is what it was."""
        ledger.take("part-1", [self.key("in/a.wav", version="")])
        assert not ledger.unchanged(Source("in/a.wav", "", 7, ""), frozenset())

    def test_the_same_bytes_elsewhere(self, ledger: Ledger) -> None:
        """Only a text of today's models is taken for another file."""
        ledger.take("part-1", [self.key("in/x.wav", decided_by="then")])
        assert ledger.same_audio("aa") is None
        ledger.take("part-2", [self.key("in/y.wav")])
        same = ledger.same_audio("aa")
        assert same is not None
        assert (same.part, same.path) == ("part-2", "in/y.wav")
        assert ledger.same_audio("bb") is None

    def test_earlier_rows_are_superseded(self, ledger: Ledger) -> None:
        """By a later part alone; what was removed is forgotten."""
        ledger.take("part-1", [self.key("in/a.wav"), self.key("in/b.wav")])
        ledger.take("part-2", [self.key("in/a.wav")])
        assert ledger.superseded() == {"part-1": {"in/a.wav"}}
        ledger.drop("part-1", {"in/a.wav"})
        assert ledger.superseded() == {}
        assert ledger.knows("part-2")
        assert not ledger.knows("part-3")
        assert ledger.has("in/b.wav")
        assert not ledger.has("in/c.wav")

    def test_a_path_is_first_once(self, ledger: Ledger) -> None:
        """Lists may name a recording twice."""
        assert [ledger.first(path) for path in ("a", "b", "a")] == [True, True, False]


def test_what_is_known_before_audio_is_json(tmp_path: Path) -> None:
    """Actors say what they are as JSON: nothing of a recogniser's provenance is lost on the way."""
    from dataclasses import asdict

    from glagol.speech.output.provenance import provenance_of

    del tmp_path
    recognizer = Recognizer.open(homes.repository(), model=homes.MODEL)
    known = recognizer.provenance
    assert provenance_of(json.loads(json.dumps(asdict(known)))) == known
