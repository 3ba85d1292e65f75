"""The manifest is read strictly, has one byte form, and its committed files are current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import IntegrityError
from glagol.registry.__main__ import main
from glagol.registry.manifest.read import (
    MANIFEST_BYTES_MAX,
    READER_VERSION,
    Manifest,
    SourceFile,
    canonical,
    parse,
)
from registry.made import CTC, RNNT, artifact, asr_model, manifest, variant

ROOT = Path(__file__).resolve().parents[2]
ABSENT = object()

names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,8}", fullmatch=True)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Sound manifests: unique ids, built and unbuilt variants, both heads, any text."""
    ids = draw(st.lists(names.filter(lambda n: n != "vad"), min_size=1, max_size=4, unique=True))
    models = []
    for name in ids:
        parts = draw(st.lists(st.binary(min_size=1), min_size=1, max_size=3))
        built = variant("cpu-fp32", *(artifact(p, f"part-{i}") for i, p in enumerate(parts)))
        decoding = draw(st.sampled_from([CTC, RNNT, {**RNNT, "max_symbols": 3}]))
        note = draw(words)
        if draw(st.booleans()):
            models.append(asr_model(name, built, decoding=decoding, note=note))
        else:
            reason = draw(words.filter(str.strip))
            unbuilt = (built, variant("cuda-fp16"))
            models.append(asr_model(name, *unbuilt, decoding=decoding, unpinned=reason))
    return manifest(*models)


@given(manifests())
def test_canonical_bytes_are_stable(value: Manifest) -> None:
    """Parsing gives the value back, and writing it again the same bytes."""
    data = canonical(value)
    assert parse(data) == value
    assert canonical(parse(data)) == data


@given(manifests(), st.randoms())
def test_canonical_bytes_do_not_depend_on_the_input_form(value: Manifest, random: Any) -> None:
    """Key order, white space and escapes of the file do not reach the canonical form."""

    def shuffled(node: Any) -> Any:
        if isinstance(node, dict):
            keys = list(node)
            random.shuffle(keys)
            return {key: shuffled(node[key]) for key in keys}
        return [shuffled(item) for item in node] if isinstance(node, list) else node

    loose = json.dumps(shuffled(json.loads(canonical(value))), indent=7)
    assert canonical(parse(loose.encode())) == canonical(value)


@given(st.data())
def test_damage_is_found_or_harmless(data: st.DataObject) -> None:
    """Any byte of the real file replaced: a manifest or IntegrityError, never another error."""
    whole = bytearray((ROOT / "manifest.json").read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = parse(bytes(whole))
    except IntegrityError as error:
        assert error.code in {"manifest_invalid", "manifest_too_new"}  # noqa: PT017
    else:
        assert parse(canonical(value)) == value


def broken(path: str, value: object) -> bytes:
    """A sound manifest with one field, named as `models.0.id`, replaced, added or taken away."""
    unbuilt = asr_model("unbuilt")
    root = json.loads(
        canonical(manifest(asr_model("m", variant("cpu-fp32", artifact(b"g"))), unbuilt))
    )
    node = root
    *steps, last = [int(s) if s.isdigit() else s for s in path.split(".")]
    for step in steps:
        node = node[step]
    if value is ABSENT:
        del node[last]
    else:
        node[last] = value
    return json.dumps(root).encode()


FILE = "models.0.source.files.0"
ARTIFACT = "models.0.variants.0.artifacts.0"


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("surprise", 1, "surprise"),
        ("models.0.surprise", 1, "$.models[0]"),
        ("manifest_version", 0, "$.manifest_version"),
        ("manifest_version", True, "$.manifest_version"),
        ("min_reader_version", "1", "$.min_reader_version"),
        ("defaults", ABSENT, "defaults"),
        ("defaults.asr", "unknown", "defaults.asr"),
        ("defaults.asr", "vad", "defaults.asr"),
        ("defaults.vad", "m", "defaults.vad"),
        ("defaults.llm", "m", "defaults.llm"),
        ("models.0.id", "Upper", "$.models[0].id"),
        ("models.0.id", "m\n", "$.models[0].id"),
        ("models.1.id", "m", "models[1].id"),
        ("models.1.aliases", ["m"], "models[1].aliases[0]"),
        ("models.1.aliases", ["../m"], "$.models[1].aliases[0]"),
        ("models.0.license", "", "$.models[0].license"),
        ("models.0.engine", "Other", "$.models[0].engine"),
        ("models.0.role", "tts", "$.models[0].role"),
        ("models.0.role", "asr", "models[0].role: needs min_reader_version 2"),
        ("models.0.role", "vad", "models[0].role: decoding parameters of the kind 'ctc'"),
        ("models.0.decoding", ABSENT, "defaults.asr"),
        ("models.0.decoding", [], "$.models[0].decoding"),
        ("models.0.decoding.kind", "vad", "defaults.asr"),
        ("models.0.decoding.kind", ABSENT, "models[0].decoding.kind"),
        ("models.0.decoding.kind", 7, "models[0].decoding.kind"),
        ("models.0.golden.audio", "../clip.flac", "models[0].golden.audio"),
        ("models.0.variants", [], "models[0].variants"),
        ("models.0.variants.0.provider", "tpu", "$.models[0].variants[0].provider"),
        (f"{ARTIFACT}.sha256", "0" * 63, "$.models[0].variants[0].artifacts[0].sha256"),
        (f"{ARTIFACT}.sha256", "A" * 64, "$.models[0].variants[0].artifacts[0].sha256"),
        (f"{ARTIFACT}.sha256", "a" * 64 + "\n", "$.models[0].variants[0].artifacts[0].sha256"),
        (f"{ARTIFACT}.sha256", ABSENT, "$.models[0].variants[0].artifacts[0]"),
        (f"{ARTIFACT}.size_bytes", 0, "$.models[0].variants[0].artifacts[0].size_bytes"),
        (f"{ARTIFACT}.urls", ["ftp://h/f"], "$.models[0].variants[0].artifacts[0].urls[0]"),
        (f"{ARTIFACT}.path", "/etc/passwd", "models[0].variants[0].artifacts[0].path"),
        (f"{ARTIFACT}.path", "a/../../b", "models[0].variants[0].artifacts[0].path"),
        (f"{ARTIFACT}.path", "a//b", "models[0].variants[0].artifacts[0].path"),
        (f"{ARTIFACT}.path", "a\\b", "models[0].variants[0].artifacts[0].path"),
        (f"{ARTIFACT}.path", "a\x00b", "models[0].variants[0].artifacts[0].path"),
        (f"{ARTIFACT}.path", "", "$.models[0].variants[0].artifacts[0].path"),
        (f"{FILE}.path", "./x", "models[0].source.files[0].path"),
        (f"{FILE}.sha256", ABSENT, "models[0].source.files[0].unpinned"),
        (f"{FILE}.unpinned", "no reason", "models[0].source.files[0].unpinned"),
        (f"{FILE}.md5", "0" * 31, "$.models[0].source.files[0].md5"),
        (f"{FILE}.alternative_to", "x", "models[0].source.files[0].alternative_to"),
        (f"{FILE}.archive", "x.zip", "models[0].source.files[0].archive"),
        (f"{FILE}.joined", ["a", "b"], "models[0].source.files[0].joined: no file to join at 'a'"),
        (f"{FILE}.joined", ["a"], "models[0].source.files[0].joined: two or more different"),
        (f"{FILE}.joined", ["a", "a"], "models[0].source.files[0].joined: two or more different"),
        (f"{FILE}.joined", ["a", "b"], "models[0].source: needs min_reader_version 3"),
        (f"{FILE}.urls", ["pkg:pypi/a@1"], "models[0].source: needs min_reader_version 3"),
        (f"{FILE}.urls", ["pkg:pypi/a"], "$.models[0].source.files[0].urls[0]"),
        (f"{FILE}.urls", ["pkg:pypi/a@1;b"], "$.models[0].source.files[0].urls[0]"),
        (f"{FILE}.urls", ["pkg:npm/a@1"], "$.models[0].source.files[0].urls[0]"),
        (f"{ARTIFACT}.urls", ["pkg:pypi/a@1"], "$.models[0].variants[0].artifacts[0].urls[0]"),
        ("models.0.variants.0.artifacts", [], "models[0].unpinned"),
        ("models.1.unpinned", ABSENT, "models[1].unpinned"),
        ("models.1.unpinned", "  ", "models[1].unpinned"),
        ("models.0.unpinned", "stale", "models[0].unpinned"),
    ],
)
def test_bad_field_is_refused_with_its_place(path: str, value: object, place: str) -> None:
    """One wrong field anywhere, and the message says where."""
    with pytest.raises(IntegrityError) as caught:
        parse(broken(path, value))
    assert caught.value.code == "manifest_invalid"
    assert place in caught.value.message


def test_repeated_names_and_contradicting_sizes_are_refused() -> None:
    """Variants, artifact paths, source paths and digests each name one thing."""
    value = json.loads(canonical(manifest()))
    model = value["models"][0]
    first = model["variants"][0]["artifacts"][0]
    model["variants"][0]["artifacts"].append({**first, "size_bytes": 77})
    model["variants"].append(model["variants"][0])
    model["source"]["files"].append(model["source"]["files"][0])
    with pytest.raises(IntegrityError) as caught:
        parse(json.dumps(value).encode())
    for place in (
        "models[0].variants[1].id",
        "models[0].variants[0].artifacts[1].path",
        "models[0].source.files[1].path",
        "models[0].variants[0].artifacts[1].size_bytes",
    ):
        assert place in caught.value.message


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "manifest_version"),
        (b'{"manifest_version": 1, "manifest_version": 1}', "'manifest_version' occurs twice"),
        (b'{"manifest_version": NaN}', "NaN"),
        (b'{"manifest_version": 1e999}', "1e999"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (MANIFEST_BYTES_MAX + 1), "limit"),
        ("{}".encode("utf-16"), "not JSON"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes, what: str) -> None:
    """Not UTF-8, not JSON, not an object, ambiguous, endless."""
    with pytest.raises(IntegrityError) as caught:
        parse(data)
    assert caught.value.code == "manifest_invalid"
    assert what in caught.value.message


def test_newer_manifest_is_refused_before_its_unknown_fields() -> None:
    """A later format is called later, not broken."""
    data = {"min_reader_version": READER_VERSION + 1, "fields": "of tomorrow"}
    with pytest.raises(IntegrityError) as caught:
        parse(json.dumps(data).encode())
    assert caught.value.code == "manifest_too_new"
    assert str(READER_VERSION + 1) in caught.value.message
    assert "upgrade" in caught.value.remedy


def test_md5_alone_pins_nothing() -> None:
    """An entry may hold upstream's MD5 and still has to say why there is no sha256."""
    file = {"path": "w.ckpt", "md5": "0" * 32}
    with pytest.raises(IntegrityError, match="unpinned"):
        parse(broken(FILE, file))
    value = parse(broken(FILE, {**file, "unpinned": "upstream states only MD5"}))
    assert value.models[0].source.files[0].md5 == "0" * 32


def test_committed_manifest_is_canonical(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`python -m glagol.registry canonical manifest.json` changes nothing."""
    assert main(["canonical", str(ROOT / "manifest.json")]) == 0
    assert capfdbinary.readouterr().out == (ROOT / "manifest.json").read_bytes()


def test_committed_schema_is_current(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`python -m glagol.registry schema > manifest.schema.json` changes nothing."""
    assert main(["schema"]) == 0
    assert capfdbinary.readouterr().out == (ROOT / "manifest.schema.json").read_bytes()


def test_command_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad arguments: usage. A bad manifest: message, remedy, exit status of the family."""
    assert main([]) == 2
    assert "canonical MANIFEST" in capsys.readouterr().err
    (tmp_path / "m.json").write_text("{}")
    assert main(["canonical", str(tmp_path / "m.json")]) == 4
    assert "manifest_version" in capsys.readouterr().err


def test_schema_accepts_the_manifest_and_refuses_a_stranger() -> None:
    """Editors that know only the schema see the same language."""
    schema = json.loads((ROOT / "manifest.schema.json").read_bytes())
    value = json.loads((ROOT / "manifest.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema)
    value["models"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)


def test_committed_manifest_knows_the_users_names() -> None:
    """The plan's model name and every head of GigaAM-v3 are there; Silero is pinned."""
    models = {model.id: model for model in parse((ROOT / "manifest.json").read_bytes()).models}
    heads = {"gigaam-v3-ctc", "gigaam-v3-rnnt", "gigaam-v3-e2e-ctc", "gigaam-v3-e2e-rnnt"}
    assert heads <= set(models)
    assert "ai-sage/GigaAM-v3" in models["gigaam-v3-e2e-rnnt"].aliases
    assert all(build.artifacts for build in models["silero-vad"].variants)


def test_types_refuse_unknown_and_positional_arguments() -> None:
    """Entries are written with names, and are values."""
    with pytest.raises(TypeError):
        cast("Any", SourceFile)("weights.bin")
    file = SourceFile(path="weights.bin")
    with pytest.raises(AttributeError):
        setattr(file, "path", "other")  # noqa: B010 - the types forbid it as well
    assert msgspec.structs.replace(file) == file
