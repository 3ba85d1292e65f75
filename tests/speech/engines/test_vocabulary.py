"""Pieces to text, against SentencePiece itself where it matters."""

from __future__ import annotations

import io
import json

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import IntegrityError
from glagol.speech.engines.gigaam.vocabulary import Vocabulary, decode_sentencepiece
from glagol.speech.types import Emission, Token

TEXT = [
    "Он сказал: «Привет, мир» — и ушёл.",
    "Сегодня 980 ₽ за билет №7, и это не дорого!",
    "Мы пойдём гулять в парк, если не будет дождя.",
] * 20


@pytest.fixture(scope="module")
def processor() -> sentencepiece.SentencePieceProcessor:
    """A small tokenizer with byte fallback, trained on the spot."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=model,
        vocab_size=330,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


SENTENCES = st.text(alphabet="абвгд ёЖ№₽€—«»😀,.!? ", max_size=30)


@settings(max_examples=60, deadline=None)
@given(SENTENCES)
def test_encoded_sentences_come_back(
    processor: sentencepiece.SentencePieceProcessor, sentence: str
) -> None:
    pieces = processor.encode(sentence, out_type=str)
    assert decode_sentencepiece(pieces) == processor.decode(pieces)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_any_pieces_decode_as_the_library_decodes(
    processor: sentencepiece.SentencePieceProcessor, numbers: list[int]
) -> None:
    pieces = [processor.id_to_piece(n % processor.get_piece_size()) for n in numbers]
    assert decode_sentencepiece(pieces) == processor.decode(pieces)


def test_spaces_before_signs_stay() -> None:
    pieces = ["▁Он", "▁сказал", ":", "▁«", "При", "вет", "»", "▁—", "▁980", "▁₽"]
    assert decode_sentencepiece(pieces) == "Он сказал: «Привет» — 980 ₽"


def test_characters_are_joined() -> None:
    vocabulary = Vocabulary("characters", (" ", "д", "а"), 3)
    tokens = vocabulary.tokens([Emission(1, 4, -0.1), Emission(2, 6, -0.2)])
    assert tokens == [Token("д", 4, -0.1), Token("а", 6, -0.2)]
    assert vocabulary.decode(token.piece for token in tokens) == "да"


def test_file_is_read() -> None:
    data = {"blank": 2, "kind": "characters", "pieces": [" ", "ё"]}
    assert Vocabulary.read(json.dumps(data).encode()) == Vocabulary("characters", (" ", "ё"), 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"blank": 1, "kind": "characters", "pieces": [" ", "a"]}',
        b'{"blank": 1, "kind": "letters", "pieces": ["a"]}',
        b'{"blank": 1, "kind": "characters", "pieces": [7]}',
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"vocabulary\.json"):
        Vocabulary.read(data)
