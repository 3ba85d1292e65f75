"""Settings of published checkpoints: one result from three places, misfits refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge import published
from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.gigaam.architecture import infer
from glagol.forge.families.gigaam.build import read_vocabulary
from glagol.forge.families.gigaam.settings import LETTERS
from glagol.forge.families.gigaam.settings import published as settings_of
from glagol.forge.families.gigaam.source import open_source
from glagol.forge.families.gigaam.weights import MEL, WINDOW, normalise

CTC, RNNT, E2E, _ = published.MODELS


def files(place: Path) -> dict[str, Path]:
    return {path.name.replace("v3_e2e_ctc_", ""): path for path in place.iterdir()}


def blank_weights(kind: published.Kind, sizes: Any) -> dict[str, np.ndarray]:
    """Tensors of the right shapes that take no memory."""
    shapes = published.shapes(sizes, 320)
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("kind", published.MODELS, ids=lambda kind: kind.name)
def test_published_sizes_are_those_of_the_papers_table(kind: published.Kind) -> None:
    """The full-size fixture has the published number of parameters and of tensors."""
    counts = {
        "v3_ctc": 220_707_874,
        "v3_rnnt": 221_874_082,
        "v3_e2e_ctc": 220_879_361,
        "v3_e2e_rnnt": 222_509_313,
    }
    sizes = published.full(kind)
    weights = blank_weights(kind, sizes)
    total = sum(value.size for name, value in weights.items() if name not in (WINDOW, MEL))
    assert total == counts[kind.name]
    assert len(weights) == (561 if kind.head == "rnnt" else 552)
    found = settings_of({"cfg": {"model": {"cfg": published.settings(kind, sizes)}}}, None, weights)
    assert infer(found, normalise(weights, sizes.head), sizes.head) == sizes


@pytest.mark.parametrize("kind", published.MODELS, ids=lambda kind: kind.name)
def test_without_settings_v3_is_assumed_and_checked(kind: published.Kind) -> None:
    """Of full width: heads, table and letters as published; of another width: refused."""
    sizes = published.full(kind)
    weights = blank_weights(kind, sizes)
    found = settings_of(None, None, weights)
    assert infer(found, normalise(weights, sizes.head), sizes.head) == sizes
    assert found.get("vocabulary") == (None if kind.pieces else list(LETTERS))
    with pytest.raises(CheckpointError, match="width 48"):
        settings_of(None, None, blank_weights(kind, published.small(kind)))


def test_settings_of_v3_are_not_taken_on_trust() -> None:
    """A file beside the weights cannot give v3 other heads or positions: no shape would tell."""
    sizes = published.full(CTC)
    weights, settings = blank_weights(CTC, sizes), published.settings(CTC, sizes)
    settings_of(settings, None, weights)
    for key, value in (("n_heads", 8), ("pos_emb_max_len", 10_000), ("rope_base", 10_000)):
        changed_ones = settings | {"encoder": settings["encoder"] | {key: value}}
        with pytest.raises(CheckpointError, match=f"encoder.{key}"):
            settings_of(changed_ones, None, weights)


@pytest.mark.parametrize("kind", [CTC, E2E], ids=lambda kind: kind.name)
def test_both_forms_say_the_same(kind: published.Kind, tmp_path: Path) -> None:
    """Hugging Face's and upstream's files of one model: the same tensors, sizes, vocabulary."""
    sizes = published.small(kind)
    opened = [
        open_source(files(published.folder(tmp_path / form, kind, sizes, form=form)))
        for form in ("hf", "ckpt")
    ]
    built = [infer(o.config, normalise(o.tensors, sizes.head), sizes.head) for o in opened]
    assert built == [sizes, sizes]
    spelled = [read_vocabulary(o.config, o.tokenizer) for o in opened]
    assert spelled[0] == spelled[1]
    assert len(spelled[0].pieces) == kind.classes - 1
    assert (spelled[0].pieces == LETTERS) == (kind is CTC)


def changed(place: str, value: object, kind: published.Kind = CTC) -> None:
    section, key = place.split(".")
    settings = published.settings(kind, published.small(kind))
    settings[section] = {**settings[section], key: value}
    settings_of(None, settings, blank_weights(kind, published.small(kind)))


def test_another_front_end_is_refused() -> None:
    """The earlier models' has the same shapes and other numbers: silent garbage if mixed."""
    changed("preprocessor.n_fft", 320)
    for key, value in (("n_fft", 400), ("center", True), ("mel_scale", "slaney")):
        with pytest.raises(CheckpointError, match=f"preprocessor.{key}"):
            changed(f"preprocessor.{key}", value)


def test_tensors_without_a_place_are_refused() -> None:
    """A second LSTM layer or running statistics would be dropped without a word."""
    weights = blank_weights(RNNT, published.small(RNNT))
    settings = published.settings(RNNT, published.small(RNNT))
    settings_of(None, settings, weights)
    for name in (
        "head.decoder.lstm.weight_ih_l1",
        "model.encoder.layers.0.conv.batch_norm.running_mean",
        "optimizer.state",
    ):
        with pytest.raises(CheckpointError, match="no place"):
            settings_of(None, settings, weights | {name: np.zeros(1)})
    for name in (WINDOW, MEL):
        with pytest.raises(CheckpointError, match="no tensor"):
            settings_of(None, settings, {k: v for k, v in weights.items() if k != name})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("encoder.n_heads", "4"),
        ("encoder.n_heads", [4]),
        ("encoder.n_heads", True),
        ("encoder.n_heads", 0),
        ("encoder.n_heads", 4.5),
        ("encoder.pos_emb_max_len", 10**9),
        ("encoder.rope_base", -1),
        ("decoding.vocabulary", 5),
        ("decoding.vocabulary", [["а"]]),
        ("decoding.vocabulary", "абв"),
    ],
)
def test_settings_of_a_wrong_kind_are_refused(place: str, value: object) -> None:
    """Settings come from outside: no number is taken on trust, no other error escapes."""
    with pytest.raises(CheckpointError):
        changed(place, value)


def test_every_tensor_has_its_form() -> None:
    """Another rank or an integer type is refused by name, whichever tensor it is."""
    for kind in (CTC, RNNT):
        settings = published.settings(kind, published.small(kind))
        weights = blank_weights(kind, published.small(kind))
        for name, value in weights.items():
            for wrong in (value[None], value[0], value.astype(np.int64)):
                with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
                    settings_of(None, settings, weights | {name: wrong})


def test_files_beside_the_weights_are_bounded(tmp_path: Path) -> None:
    """A configuration that is deep, huge, or no object."""
    place = published.folder(tmp_path, CTC, published.small(CTC), form="hf")
    for text in ("[" * 100_000, " " * (17 << 20), "[]", "{", '{"encoder": 1}', '{"cfg": []}'):
        (place / "config.json").write_text(text)
        with pytest.raises(CheckpointError):
            open_source(files(place))


def test_weights_of_another_format_are_refused(tmp_path: Path) -> None:
    """Nothing, the form that torch wrote before zip (a bare pickle), a page of HTML."""
    place = published.folder(tmp_path, CTC, published.small(CTC), form="hf")
    for data in (b"", pickle.dumps({}, 2), b"<!doctype html>" * 99):
        (place / "pytorch_model.bin").write_bytes(data)
        with pytest.raises(IntegrityError) as caught:
            open_source(files(place))
        assert caught.value.code == "checkpoint_refused"
