"""Whisper's published forms give one model; what does not fit together is refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from forge import made_whisper as made
from forge import published
from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.whisper.family import FAMILY
from glagol.forge.families.whisper.sizes import infer
from glagol.forge.families.whisper.source import open_source, weights_of
from glagol.forge.families.whisper.tokens import read_tokens
from glagol.forge.model import build_model
from glagol.registry.manifest.types import Model

D = published.Describe
ENTRY: dict[str, Any] = {
    "id": "made",
    "engine": "whisper",
    "version": "1",
    "license": "MIT",
    "source": {"repo": "this test"},
    "variants": [{"id": "cpu-fp32", "provider": "cpu", "precision": "fp32"}],
    "decoding": {
        "kind": "attention",
        "mels": made.SIZES.mels,
        "vocabulary": made.SIZES.vocabulary,
        "alignment_heads": [list(head) for head in made.HEADS],
    },
}


def entry(**decoding: object) -> Model:
    """The manifest's entry, with other parameters of decoding."""
    return msgspec.convert({**ENTRY, "decoding": {**ENTRY["decoding"], **decoding}}, Model)


@cache
def files() -> Mapping[str, bytes]:
    """The model in both forms, and both forms of its tokenizer."""
    weights = made.weights()
    return {
        "model.bin": made.model_bin(weights),
        "base.pt": made.torch_file(weights),
        "tokenizer.json": made.tokenizer_json(),
        "multilingual.tiktoken": made.tiktoken(made.SIZES.texts),
    }


def some(*names: str, **changed: bytes) -> dict[str, bytes]:
    """The named files, and others in their place."""
    return {name: files()[name] for name in names} | changed


@pytest.mark.parametrize("weights", ["model.bin", "base.pt"])
@pytest.mark.parametrize("tokenizer", ["tokenizer.json", "multilingual.tiktoken"])
def test_every_form_gives_the_same(weights: str, tokenizer: str) -> None:
    """Sizes from the shapes, tensors to the bit, tokens with the empty one."""
    opened = open_source(some(weights, tokenizer))
    assert opened.sizes == made.SIZES
    assert opened.tokens == tuple(made.tokens(made.SIZES.texts))
    expected = made.weights()
    assert set(opened.weights) == set(expected)
    for name, value in opened.weights.items():
        assert value.dtype == np.float16
        assert np.array_equal(value, expected[name]), name


def test_both_forms_build_the_same_bytes() -> None:
    """A second source of weights and tokenizer gives the artifacts that the manifest pins."""
    one = build_model(entry(), some("model.bin", "tokenizer.json"))
    two = build_model(entry(), some("base.pt", "multilingual.tiktoken"))
    assert one == two
    assert list(one) == ["cpu-fp32"]


def test_the_preferred_form_is_taken() -> None:
    """CTranslate2's before OpenAI's; parts of a file are no weights."""
    assert weights_of(["x.whl", "a/model.bin.part1", "base.pt", "model.bin"]) == "model.bin"
    assert weights_of(["model.bin.part1", "base.pt"]) == "base.pt"
    assert weights_of(["tokenizer.json"]) is None


@pytest.mark.parametrize(
    ("present", "absent"), [("model.bin", "tokenizer.json"), ("tokenizer.json", r"\.bin or \.pt")]
)
def test_absent_files_are_named(present: str, absent: str) -> None:
    """Weights or tokenizer."""
    with pytest.raises(IntegrityError, match=absent) as caught:
        FAMILY.open(entry(), some(present))
    assert caught.value.code == "artifact_missing"


@pytest.mark.parametrize(
    ("decoding", "reason"),
    [
        ({"mels": 128}, "decoding.mels is 128 in the entry, 8 in the weights"),
        ({"vocabulary": 51_866}, "decoding.vocabulary is 51866 in the entry, 51865 in the weights"),
        ({"alignment_heads": [[0, 2]]}, "alignment head 0.2 is none of 2 layers of 2 heads"),
        ({"alignment_heads": 3}, "lists no pairs of layer and head"),
    ],
)
def test_an_entry_that_does_not_fit_the_weights_is_refused(
    decoding: dict[str, object], reason: str
) -> None:
    """The commonest mistake is the number of mel bands."""
    with pytest.raises(IntegrityError, match=reason) as caught:
        FAMILY.open(entry(**decoding), some("model.bin", "tokenizer.json"))
    assert caught.value.code == "artifact_altered"
    assert "made" in caught.value.message


def without(name: str) -> Callable[[dict[str, np.ndarray]], None]:
    """Takes a tensor out."""

    def change(weights: dict[str, np.ndarray]) -> None:
        del weights[name]

    return change


def other(name: str, *shape: int, kind: str = "<f2") -> Callable[[dict[str, np.ndarray]], None]:
    """Puts another tensor in the place of one."""

    def change(weights: dict[str, np.ndarray]) -> None:
        weights[name] = np.zeros(shape, kind)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("decoder.ln.bias"), "no tensor decoder.ln.bias"),
        (without("encoder.conv1.weight"), "no tensor encoder.conv1.weight"),
        (other("encoder.blocks.1.mlp.2.bias", 64), r"has shape \(64,\), expected \(128,\)"),
        (other("encoder.blocks.3.mlp.2.bias", 128), r"not consecutive: \[0, 1, 3\]"),
        (other("decoder.mask", 12, 12), "no place in the model: decoder.mask"),
        (other("decoder.token_embedding.weight", 999, 128), "a vocabulary of 999 tokens"),
        (other("encoder.conv1.weight", 100, 8, 3), "width 100 is no multiple"),
        (other("decoder.ln.bias", 128, kind="<i4"), "decoder.ln.bias is int32"),
    ],
)
def test_weights_of_another_model_are_refused(
    change: Callable[[dict[str, np.ndarray]], None], reason: str
) -> None:
    """A tensor is missing, of another shape or type, or too much."""
    weights = made.weights()
    change(weights)
    with pytest.raises(CheckpointError, match=reason):
        infer(weights)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder/activation": 1}, "decoder/activation = 1, only 3 can be built"),
        ({"encoder/num_heads": 4}, "encoder/num_heads = 4, only 2"),
        ({"decoder/sliding_window": 8}, "setting decoder/sliding_window = 8 is unknown"),
    ],
)
def test_settings_of_another_computation_are_refused(change: dict[str, int], reason: str) -> None:
    """What a conversion says of activation, heads and the like must be what the graphs do."""
    settings = made.settings() | {k: np.array(v, np.int16) for k, v in change.items()}
    data = made.conversion(made.conversion_names(made.weights()) | settings)
    with pytest.raises(CheckpointError, match=reason):
        open_source(some("tokenizer.json", **{"model.bin": data}))


def test_conversions_of_other_models_are_refused() -> None:
    """Another specification, a projection of its own, a tensor without a place."""
    named = made.conversion_names(made.weights()) | made.settings()
    strange = named | {"decoder/layer_0/rotary/weight": np.zeros(4, np.float16)}
    for data, reason in (
        (made.conversion(named, specification="TransformerSpec"), "TransformerSpec 3, expected"),
        (made.conversion(named, revision=4), "WhisperSpec 4, expected"),
        (made.conversion(named, aliases={}), "projection is not the embedding"),
        (made.conversion(strange), "rotary/weight has no place"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            open_source(some("tokenizer.json", **{"model.bin": data}))


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({**made.dims(), "n_mels": 80}, "n_mels = 80 in its dims, weights: 8"),
        ({**made.dims(), "n_text_head": 1}, "n_text_head = 1 in its dims, weights: 2"),
        ({}, "n_mels = None in its dims"),
        ({**made.dims(), "more": 1}, "11 sizes, expected 10"),
    ],
)
def test_dims_that_do_not_fit_are_refused(stated: dict[str, int], reason: str) -> None:
    """OpenAI's checkpoint states its sizes; they must be those of its weights."""
    data = made.torch_file(made.weights(), stated)
    with pytest.raises(CheckpointError, match=reason):
        open_source(some("tokenizer.json", **{"base.pt": data}))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (D.TRUE, "dims are no dictionary"),
        (D.list_of(D.integer(80)), "dims are no dictionary"),
        (D.dict_of({"n_mels": D.TRUE}), "not all integers"),
        (D.dict_of({"n_mels": D.text("80")}), "not all integers"),
        (D.dict_of({"n_mels": D.integer(-1)}), "not all integers"),
        (D.dict_of({"n_mels": D.integer(1 << 80)}), "not all integers"),
        (D.dict_of({str(n): D.integer(n) for n in range(99)}), "at most 32 integers"),
        (D.call(("os", "system"), D.text("true")), "'os system', which is no part of a model"),
        (D.name("whisper.model", "ModelDimensions"), "'whisper.model ModelDimensions', which"),
    ],
)
def test_hostile_dims_are_refused(code: bytes, reason: str) -> None:
    """Nothing but integers by name: no other value, no name, no call."""
    data = made.torch_file({"w": np.zeros(2, np.float16)}, code)
    with pytest.raises(IntegrityError, match=reason) as caught:
        FAMILY.open(entry(), some("tokenizer.json", **{"base.pt": data}))
    assert caught.value.code == "checkpoint_refused"


def tokenizer(**changed: object) -> bytes:
    """A tokenizer.json with other contents."""
    return json.dumps({**json.loads(files()["tokenizer.json"]), **changed}).encode()


LINES = made.tiktoken(50_257)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.tiktoken", made.tiktoken(50_256), "50256 text tokens, a model of 51865 .* has 50257"),
        ("a.tiktoken", LINES + b"eA== 50257\n", "50258 text tokens"),
        ("a.tiktoken", LINES.replace(b" 300\n", b" 301\n"), "id 301 is there twice"),
        ("a.tiktoken", LINES.replace(b" 300\n", b" 60000\n"), "does not fit"),
        ("a.tiktoken", LINES.replace(b"QQ== 65\n", b"QUE= 65\n"), "not every byte is a token"),
        ("a.tiktoken", LINES.replace(b"= 50256\n", b"QQ== 50256\n"), "have the same bytes"),
        ("a.tiktoken", b"!! 0\n", "no tokenizer"),
        ("a.tiktoken", b"\xff", "no tokenizer"),
        ("tokenizer.json", b"[1", "no tokenizer"),
        ("tokenizer.json", b"[]", "no tokenizer"),
        ("tokenizer.json", tokenizer(model={"vocab": {"a": "b"}}), "the id of 'a'"),
        ("tokenizer.json", tokenizer(model={"vocab": {"\u4e00": 1}}), "stands for no byte"),
        ("tokenizer.json", tokenizer(added_tokens=[]), "<|endoftext|> has the id None"),
        ("tokenizer.json", b" " * (16 << 20) + b"1", "the limit is 16777216"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(name: str, data: bytes, reason: str) -> None:
    """Another vocabulary, an id twice or out of place, broken bytes."""
    with pytest.raises(CheckpointError, match=reason.replace("|", r"\|")):
        read_tokens(name, data, made.SIZES)


def test_tokenizers_of_two_vocabularies_are_not_mixed_up() -> None:
    """The older one with the newer model, and English with either."""
    english, newer = replace(made.SIZES, vocabulary=51_864), replace(made.SIZES, vocabulary=51_866)
    for sizes in (english, newer):
        with pytest.raises(CheckpointError, match="does not fit"):
            read_tokens("tokenizer.json", files()["tokenizer.json"], sizes)
        own = read_tokens("tokenizer.json", made.tokenizer_json(sizes), sizes)
        assert own == tuple(made.tokens(sizes.texts))
    tiktoken = files()["multilingual.tiktoken"]
    assert read_tokens("m.tiktoken", tiktoken, newer) == read_tokens(
        "m.tiktoken", tiktoken, made.SIZES
    )
