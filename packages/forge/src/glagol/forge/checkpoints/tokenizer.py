"""Vocabularies: a list of characters, or the pieces of a SentencePiece model.

A SentencePiece ``.model`` file is one protobuf message; only its pieces are read, the trainer's
and normaliser's settings are skipped. Source: sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from glagol.forge.checkpoints.safetensors import CheckpointError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10


class PieceType(IntEnum):
    """What a SentencePiece piece stands for (``SentencePiece.Type``)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece: its text, its score (log-probability) and its type."""

    text: str
    score: float
    kind: PieceType


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The classes of a model without the blank, in class order."""

    kind: Literal["characters", "sentencepiece"]
    pieces: tuple[str, ...]

    def write(self) -> bytes:
        """Return canonical JSON: blank (the class after the last piece), kind, pieces."""
        value = {"blank": len(self.pieces), "kind": self.kind, "pieces": list(self.pieces)}
        return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def characters(symbols: Sequence[str]) -> Vocabulary:
    """Return a vocabulary of single characters.

    Raises:
        CheckpointError: a symbol repeats or is not one character.
    """
    if len(set(symbols)) != len(symbols) or any(len(symbol) != 1 for symbol in symbols):
        raise CheckpointError("a character vocabulary needs distinct single characters")
    return Vocabulary("characters", tuple(symbols))


def sentencepiece(model: bytes) -> Vocabulary:
    """Return the vocabulary of a SentencePiece model file. Raises CheckpointError."""
    return Vocabulary("sentencepiece", tuple(piece.text for piece in read_pieces(model)))


def read_pieces(model: bytes) -> tuple[Piece, ...]:
    """Return the pieces of a SentencePiece model file, in id order.

    Raises:
        CheckpointError: the bytes are no such message, or it has no pieces.
    """
    pieces = tuple(
        _piece(value)
        for number, value in _fields(model)
        if number == 1 and isinstance(value, bytes)
    )
    if not pieces:
        raise CheckpointError("the tokenizer model has no pieces")
    return pieces


def _piece(message: bytes) -> Piece:
    text, score, kind = "", 0.0, PieceType.NORMAL
    for number, value in _fields(message):
        try:
            if number == 1 and isinstance(value, bytes):
                text = value.decode()
            elif number == 2 and isinstance(value, bytes):
                (score,) = struct.unpack("<f", value)
            elif number == 3 and isinstance(value, int):
                kind = PieceType(value)
        except (ValueError, struct.error) as error:
            raise CheckpointError(f"the tokenizer model has a bad piece: {error}") from error
    return Piece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field number and value: an integer, or the raw bytes of any other kind."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise CheckpointError(f"the tokenizer model has a field of unknown kind {kind}")
        if position + size > len(message):
            raise CheckpointError("the tokenizer model ends inside a field")
        yield number, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if position >= len(message):
            raise CheckpointError("the tokenizer model ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise CheckpointError("the tokenizer model has a number of more than 64 bits")
