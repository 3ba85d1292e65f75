"""The tokenizer as an artifact: a SentencePiece model, upstream's own or written from pieces.

Ids of an XLM-R vocabulary are those of its SentencePiece model plus 1, after its own `<s>`,
`<pad>`, `</s>` and `<unk>`; the engine adds that. Source: fairseq's XLM-R, as transformers reads it
(models/xlm_roberta/tokenization_xlm_roberta.py); sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.checkpoints.tokenizer import PieceType, read_pieces
from glagol.forge.onnx.protobuf import varint

__all__ = ["PIECES_FIRST", "read_model", "write_model"]

PIECES_FIRST: Final = 4
"""Ids below are special in an XLM-R vocabulary, and its last id is `<mask>`."""

_SPECIAL: Final = (
    ("<unk>", PieceType.UNKNOWN),
    ("<s>", PieceType.CONTROL),
    ("</s>", PieceType.CONTROL),
)
_NORMALIZER: Final = b"nmt_nfkc"


def write_model(pieces: Sequence[tuple[bytes, float]], charsmap: bytes) -> bytes:
    """Return a SentencePiece unigram model.

    Args:
        pieces: bytes and score by id of the XLM-R vocabulary: four special ones, the pieces, the
            mask.
        charsmap: SentencePiece's compiled rules of the normaliser `nmt_nfkc`.

    Raises:
        CheckpointError: the special pieces are others, or a piece is empty or no UTF-8.
    """
    ends = [piece for piece, _ in (*pieces[:PIECES_FIRST], pieces[-1])]
    if ends != [b"<s>", b"<pad>", b"</s>", b"<unk>", b"<mask>"]:
        raise CheckpointError(f"the special pieces of the vocabulary are {ends}")
    parts = [_chunk(1, _piece(text.encode(), 0.0, kind)) for text, kind in _SPECIAL]
    for piece, score in pieces[PIECES_FIRST:-1]:
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"a piece of the vocabulary is no text: {error}") from error
        if not piece:
            raise CheckpointError("a piece of the vocabulary is empty")
        parts.append(_chunk(1, _piece(piece, score, PieceType.NORMAL)))
    parts.append(_chunk(2, varint(4 << 3) + varint(len(parts))))  # trainer_spec.vocab_size
    parts.append(_chunk(3, _chunk(1, _NORMALIZER) + _chunk(2, charsmap)))
    return b"".join(parts)


def read_model(model: bytes, vocabulary: int) -> bytes:
    """Return upstream's model as it is, when its pieces fit a vocabulary of so many rows.

    Raises:
        CheckpointError: it is no such model, begins with other pieces, or has too many.
    """
    pieces = read_pieces(model)
    first = tuple((piece.text, piece.kind) for piece in pieces[: len(_SPECIAL)])
    if first != _SPECIAL or len(pieces) + 2 > vocabulary:
        raise CheckpointError(
            f"the tokenizer begins with {first} and has {len(pieces)} pieces; the table of words"
            f" has {vocabulary} rows"
        )
    return model


def _piece(text: bytes, score: float, kind: PieceType) -> bytes:
    return _chunk(1, text) + b"\x15" + struct.pack("<f", score) + varint(3 << 3) + varint(kind)


def _chunk(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value
