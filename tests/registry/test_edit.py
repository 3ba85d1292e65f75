"""Edits of a manifest: any sequence keeps it sound, versions only grow, refusals change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import InputError
from glagol.registry.manifest import edit
from glagol.registry.manifest.read import Manifest, SourceFile, canonical, parse
from glagol.registry.manifest.rules import ROLES, faults, role_of
from registry.made import DIGEST, RNNT, artifact, asr_model, manifest, vad_model, variant

BUILT = variant("cpu-fp32", artifact(b"graph"))
OTHER = SourceFile(path="weights.safetensors", sha256="1" * 64, size_bytes=7)
NAMES = ["a", "b", "c", "vad", "vad-2", "m"]
FIELDS = {
    "id": "m",
    "engine": "gigaam",
    "version": "1",
    "license": "MIT",
    "source": {"repo": "made/up"},
    "variants": [{"id": "cpu-fp32", "provider": "cpu", "precision": "fp32"}],
    "decoding": {"kind": "ctc"},
    "unpinned": edit.UNBUILT,
}

sources = st.sampled_from(
    [(), (OTHER,), (OTHER, OTHER), (msgspec.structs.replace(OTHER, path="../x"),)]
)
steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("bump"), st.sampled_from(NAMES), st.sampled_from(["1", "2", ""]), sources),
    st.tuples(st.just("retire"), st.sampled_from(NAMES)),
    st.tuples(st.just("use"), st.sampled_from(NAMES), st.sampled_from([None, *ROLES, "tts"])),
    st.tuples(st.just("preset"), st.sampled_from(NAMES), st.sampled_from([*NAMES, "fast", ""])),
    st.tuples(st.just("restore"), st.integers(0, 20)),
)


def applied(value: Manifest, past: list[Manifest], step: tuple[Any, ...]) -> Manifest:
    """The manifest after one step, which may be refused."""
    match step:
        case ("add", name, True):
            return edit.add(value, vad_model(name))
        case ("add", name, False):
            return edit.add(value, asr_model(name, BUILT))
        case ("bump", name, version, files):
            return edit.bump(value, name, version, files, built=name != "vad")
        case ("retire", name):
            return edit.retire(value, name)
        case ("use", name, role):
            return edit.use(value, name, role)
        case ("preset", name, called):
            return edit.preset(value, name, called)
    return edit.restore(value, past[step[1] % len(past)])


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=12))
def test_any_sequence_keeps_the_manifest_sound(sequence: list[tuple[Any, ...]]) -> None:
    """Each step gives a manifest that reads back as itself, with the next version, or is refused.

    What `changes` says is nothing exactly when models and defaults are the same.
    """
    past = [manifest()]
    for step in sequence:
        before = past[-1]
        try:
            after = applied(before, past, step)
        except InputError as error:
            assert error.remedy  # noqa: PT017
            continue
        assert after.manifest_version == before.manifest_version + 1
        assert list(faults(after)) == []
        assert parse(canonical(after)) == after
        assert list(edit.changes(before, after))
        past.append(after)
    assert len({value.manifest_version for value in past}) == len(past)


def test_add_refuses_what_the_checks_refuse() -> None:
    """A taken id or alias, decoding parameters without a kind, a variant twice."""
    value = manifest(asr_model("m", BUILT, aliases=("Nick/Name",)))
    for model in (
        asr_model("m"),
        asr_model("new", aliases=("Nick/Name",)),
        asr_model("new", decoding={"threshold": 0.5}),
        asr_model("new", BUILT, BUILT),
    ):
        with pytest.raises(InputError, match=r"models\["):
            edit.add(value, model)
    assert edit.add(value, asr_model("new")).models[-1].id == "new"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("engine", "Kaldi"), ("id", "Upper"), ("license", ""), ("surprise", 1), ("version", None)],
)
def test_entry_names_the_wrong_field(field: str, wrong: object) -> None:
    """Plain values become an entry only when every type fits."""
    assert edit.entry(FIELDS).id == "m"
    with pytest.raises(InputError, match=field) as caught:
        edit.entry({**FIELDS, field: wrong})
    assert "manifest.schema.json" in caught.value.remedy


def test_bump_drops_what_was_made_of_other_files() -> None:
    """Other sources: every variant waits for a build. The same: only the version changes."""
    value = manifest(asr_model("m", BUILT, decoding=RNNT))
    model = value.models[0]
    same = edit.bump(value, "m", "2", model.source.files, commit="abc", built=True).models[0]
    assert same.variants == model.variants
    assert (same.version, same.source.commit) == ("2", "abc")
    other = edit.bump(value, "m", "2", (OTHER,), built=True).models[0]
    assert [v.artifacts for v in other.variants] == [()]
    assert (other.builder, other.unpinned) == (None, edit.UNBUILT)
    assert other.golden == model.golden
    with pytest.raises(InputError, match="already"):
        edit.bump(value, "m", "1", (OTHER,), built=True)


def test_upstreams_own_files_are_their_artifacts() -> None:
    """An engine without a builder: pinned files, archives apart, are what will be opened."""
    wheel = SourceFile(path="v.whl", sha256=DIGEST, size_bytes=9)
    inside = SourceFile(path="v/data/v.onnx", sha256="2" * 64, size_bytes=8, archive="v.whl")
    value = edit.bump(manifest(), "vad", "2", (wheel, inside), built=False)
    found = value.models[-1].variants[0].artifacts
    assert [(a.path, a.sha256, a.size_bytes) for a in found] == [("v.onnx", "2" * 64, 8)]
    blank = SourceFile(path="v.onnx", unpinned="unknown")
    value = edit.bump(value, "vad", "3", (blank,), built=False)
    assert value.models[-1].variants[0].artifacts == ()
    assert value.models[-1].unpinned == edit.UNPINNED


def test_a_default_stays() -> None:
    """It is retired only after another model serves, in a role that its engine can serve."""
    value = manifest(asr_model("m", BUILT), asr_model("n", BUILT))
    for name in ("m", "vad"):
        with pytest.raises(InputError, match="default") as caught:
            edit.retire(value, name)
        assert "models use" in caught.value.remedy
    with pytest.raises(InputError, match="has the role asr, not vad"):
        edit.use(value, "n", "vad")
    with pytest.raises(InputError, match="already"):
        edit.use(value, "m")
    with pytest.raises(InputError) as caught:
        edit.use(value, "unknown")
    assert caught.value.code == "model_unknown"
    value = edit.retire(edit.use(value, "n"), "m")
    assert [model.id for model in value.models] == ["n", "vad"]


def test_restore_never_reuses_a_number() -> None:
    """Old content comes back under a new version, also where the old one had a higher number."""
    first = manifest(asr_model("m", BUILT), asr_model("n", BUILT))
    second = edit.use(first, "n")
    third = edit.restore(second, first)
    assert (third.manifest_version, third.defaults) == (3, first.defaults)
    assert edit.restore(first, second).manifest_version == 3
    with pytest.raises(InputError, match="same models"):
        edit.restore(third, first)


def test_changes_are_said_in_words() -> None:
    """Added, another version, another field, retired, another default."""
    first = manifest(asr_model("m", BUILT), asr_model("n", BUILT))
    second = edit.use(first, "n")
    assert list(edit.changes(first, second)) == ["default asr: `m` -> `n`"]
    third = edit.retire(edit.bump(second, "n", "2", (OTHER,), built=True), "m")
    assert list(edit.changes(second, third)) == [
        "`n` 1 -> 2; changed source, variants (0 of 1 built)",
        "`m` 1 retired",
    ]
    fourth = edit.add(third, asr_model("k"))
    assert list(edit.changes(third, fourth)) == ["`k` 1 (gigaam, MIT) added"]
    assert list(edit.changes(fourth, fourth)) == []


def test_roles_are_stated_or_implied() -> None:
    """By the kind of parameters; old entries without any are language models; a stated one wins."""
    model = asr_model("m", BUILT)
    for entry, role in (
        (model, "asr"),
        (vad_model(), "vad"),
        (msgspec.structs.replace(model, decoding=None), "llm"),
        (msgspec.structs.replace(model, decoding={"kind": "later"}), None),
        (msgspec.structs.replace(model, decoding={"kind": "later"}, role="embed"), "embed"),
    ):
        assert role_of(entry) == role
    lost = edit.add(manifest(), asr_model("new", decoding={"kind": "later"}))
    with pytest.raises(InputError, match="no role"):
        edit.use(lost, "new")
    stated = edit.add(manifest(), asr_model("new", decoding={"kind": "later"}, role="asr"))
    assert (stated.min_reader_version, edit.use(stated, "new").defaults.asr) == (2, "new")
