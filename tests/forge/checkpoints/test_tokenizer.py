"""The reader of SentencePiece models, against the library that writes them."""

from __future__ import annotations

import io
import json

import pytest
import sentencepiece

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.checkpoints.tokenizer import PieceType, characters, read_pieces
from glagol.forge.checkpoints.tokenizer import sentencepiece as vocabulary_of

TEXT = [
    "Привет, мир! Как дела сегодня?",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "Сорок два — это ответ на главный вопрос.",
]


@pytest.fixture(scope="module")
def model() -> bytes:
    """A tiny model with byte fallback, trained here."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 20),
        model_writer=out,
        vocab_size=340,
        model_type="bpe",
        byte_fallback=True,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def test_pieces_agree_with_the_library(model: bytes) -> None:
    """Text, score and type of every id are what the library says."""
    library = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = read_pieces(model)
    assert [p.text for p in pieces] == [library.id_to_piece(i) for i in range(len(library))]
    assert [p.score for p in pieces] == [library.get_score(i) for i in range(len(library))]
    assert [p.kind == PieceType.BYTE for p in pieces] == [
        library.is_byte(i) for i in range(len(library))
    ]
    assert [p.kind == PieceType.UNKNOWN for p in pieces] == [
        library.is_unknown(i) for i in range(len(library))
    ]
    assert [p.kind == PieceType.CONTROL for p in pieces] == [
        library.is_control(i) for i in range(len(library))
    ]
    assert sum(p.kind == PieceType.BYTE for p in pieces) == 256


def test_vocabulary_file(model: bytes) -> None:
    """Canonical JSON with the blank behind the last piece."""
    vocabulary = vocabulary_of(model)
    data = vocabulary.write()
    read = json.loads(data)
    assert read["kind"] == "sentencepiece"
    assert read["blank"] == len(read["pieces"]) == len(vocabulary.pieces)
    assert "<0xD0>" in read["pieces"]
    assert data == vocabulary_of(model).write()
    assert data.endswith(b"\n")


@pytest.mark.parametrize("cut", [1, 7, 100, -1])
def test_cut_models_are_refused(model: bytes, cut: int) -> None:
    """A file that ends early is an error, not a shorter vocabulary."""
    with pytest.raises(CheckpointError):
        read_pieces(model[:cut])


@pytest.mark.parametrize("data", [b"", b"\xff" * 12, b"\x0b", b"\x0a\x02\x0a\x05"])
def test_noise_is_refused(data: bytes) -> None:
    """Bytes of another kind are an error."""
    with pytest.raises(CheckpointError):
        read_pieces(data)


def test_characters_must_be_distinct() -> None:
    """Two classes of one letter, or a class of two letters, are a mistake."""
    assert characters([" ", "а"]).pieces == (" ", "а")
    for wrong in (["а", "а"], ["аб"], [""]):
        with pytest.raises(CheckpointError):
            characters(wrong)
