"""Pieces to text.

Characters are joined. SentencePiece pieces are decoded as `SentencePieceProcessor.decode` does
(google/sentencepiece `src/sentencepiece_processor.cc`): U+2581 is a space, the ones before any text
are dropped, runs of byte pieces `<0xE2>` are UTF-8, `<unk>` is " ⁇ ", control pieces are nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glagol.core.errors import IntegrityError
from glagol.speech.types import Token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.speech.types import Emission

SPACE = "\u2581"
UNKNOWN, UNKNOWN_TEXT = "<unk>", " \u2047 "
CONTROL = frozenset({"<s>", "</s>", "<pad>"})
BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces of a model's classes.

    Attributes:
        kind: how pieces become text.
        pieces: one per class but the blank.
        blank: index of the blank class.
    """

    kind: Literal["characters", "sentencepiece"]
    pieces: tuple[str, ...]
    blank: int

    @classmethod
    def read(cls, data: bytes | memoryview) -> Vocabulary:
        """Parse `vocabulary.json`.

        Raises:
            IntegrityError: `artifact_altered`, the bytes are not a vocabulary.
        """
        try:
            raw = json.loads(bytes(data))
            kind, pieces, blank = raw["kind"], tuple(raw["pieces"]), int(raw["blank"])
            if kind not in {"characters", "sentencepiece"}:
                raise ValueError(f"kind {kind!r}")
            if blank != len(pieces) or not all(isinstance(piece, str) for piece in pieces):
                raise ValueError("pieces must be strings and the blank the class after the last")
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                "artifact_altered",
                f"vocabulary.json cannot be read: {error}",
                "build the model again: glagol models build ID",
            ) from error
        return cls(kind, pieces, blank)

    def tokens(self, emissions: Iterable[Emission]) -> list[Token]:
        """Emissions with their pieces."""
        return [Token(self.pieces[e.label], e.frame, e.logprob) for e in emissions]

    def decode(self, pieces: Iterable[str]) -> str:
        """Text of consecutive pieces, without the space that opens a first word."""
        return "".join(pieces) if self.kind == "characters" else decode_sentencepiece(pieces)


def decode_sentencepiece(pieces: Iterable[str]) -> str:
    """Text of SentencePiece pieces; invalid UTF-8 among byte pieces becomes U+FFFD per byte."""
    text = ""
    pending = bytearray()
    for piece in pieces:
        byte = BYTE.fullmatch(piece)
        if byte:
            pending.append(int(byte[1], 16))
            continue
        text += _utf8(pending)
        pending.clear()
        if piece == UNKNOWN:
            text += UNKNOWN_TEXT
        elif piece not in CONTROL:
            opening = piece if text else piece.removeprefix(SPACE)
            text += opening.replace(SPACE, " ")
    return text + _utf8(pending)


def _utf8(data: bytearray) -> str:
    """Decode what is valid; one U+FFFD for each byte that belongs to no character."""
    text = ""
    at = 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                text += data[at : at + size].decode()
            except UnicodeDecodeError:
                continue
            at += size
            break
        else:
            text += "\ufffd"
            at += 1
    return text
