"""Turn texts into token ids, by a SentencePiece model.

A text never becomes a special token: `<s>` in a transcript is three characters. Ids are those of an
XLM-R vocabulary: SentencePiece's ids plus 1, with `<s>` at the begin and `</s>` at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import sentencepiece

from glagol.core.errors import InputError, IntegrityError, LimitError

if TYPE_CHECKING:
    from glagol.embed.config import Embedding

__all__ = ["CHARACTERS_MAX", "Tokenizer"]

BEGIN: Final = 0
END: Final = 2
UNKNOWN: Final = 3
PIECES_FIRST: Final = 4
CHARACTERS_MAX: Final = 1 << 20
"""Limit of a text's characters, checked before it is tokenized; bounds the time of that."""


class Tokenizer:
    """The tokenizer of one model; shared by threads.

    Args:
        model: bytes of the SentencePiece model.
        parameters: of the encoder.

    Raises:
        IntegrityError: `artifact_altered`, the bytes are not a SentencePiece model, or one of
            another encoder.
    """

    def __init__(self, model: bytes, parameters: Embedding) -> None:
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise _altered(str(error)) from error
        count = self._pieces.get_piece_size()
        if self._pieces.unk_id() or count + 2 > parameters.vocabulary:
            raise _altered(f"its {count} pieces do not fit {parameters.vocabulary} rows")
        self._most = parameters.tokens_max - 2
        self._last = count  # the id of its last piece

    def encode(self, text: str, *, cut: bool = False) -> tuple[list[int], bool]:
        """The ids of a text with begin and end tokens, and whether the text was cut.

        Args:
            text: with its prefix.
            cut: whether a text that is too long loses its end; else it is refused.

        Raises:
            LimitError: `prompt_too_long`.
        """
        if len(text) > CHARACTERS_MAX and not cut:
            raise LimitError(
                "prompt_too_long",
                f"a text has {len(text)} characters, the limit is {CHARACTERS_MAX}",
                "send it in parts",
            )
        found = self._pieces.encode(text[:CHARACTERS_MAX].strip())
        whole = len(found) <= self._most and len(text) <= CHARACTERS_MAX
        if not whole and not cut:
            raise _long(len(found), self._most)
        ids = [piece + 1 if piece else UNKNOWN for piece in found[: self._most]]
        return [BEGIN, *ids, END], not whole

    def accept(self, ids: Sequence[int]) -> list[int]:
        """Check token ids that a client made itself, and return them with begin and end tokens.

        Raises:
            InputError: `text_empty`; `request_invalid`, an id is not the id of a piece.
            LimitError: `prompt_too_long`.
        """
        inner = list(ids)
        if inner[:1] == [BEGIN] and inner[-1:] == [END]:
            inner = inner[1:-1]
        if not inner:
            raise InputError("text_empty", "a list of tokens is empty", "send at least one token")
        if len(inner) > self._most:
            raise _long(len(inner), self._most)
        for token in inner:
            if not UNKNOWN <= token <= self._last:
                raise InputError(
                    "request_invalid",
                    f"the token {token} is none of {UNKNOWN}..{self._last}",
                    "send tokens of this model's own vocabulary, or send text",
                )
        return [BEGIN, *inner, END]


def _long(count: int, most: int) -> LimitError:
    return LimitError(
        "prompt_too_long",
        f"a text has {count} tokens, the model takes {most}",
        "send it in parts, or let it be cut: truncate=true",
    )


def _altered(why: str) -> IntegrityError:
    return IntegrityError(
        "artifact_altered",
        f"the tokenizer cannot be used: {why}",
        "build the model again: glagol models build ID",
    )
