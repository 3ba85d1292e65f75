"""Text tokens: ids to bytes to text, and text to ids.

A token is a byte string, and its id is its rank: byte pair encoding joins, again and again, the two
neighbours that make the token of the lowest rank, so that no table of merges is needed. The rule
that splits text into words before is GPT-2's (`tiktoken_ext/openai_public.py` upstream).
"""

from __future__ import annotations

import base64
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Vocabulary", "encoded", "words_in"]

CONTRACTIONS: Final = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")

NO_SPACE: Final = "\x1c\x1d\x1e\x1f"
"""Python calls them white space; regular expressions do not."""

_PAIRS: Final = "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪"
SYMBOLS: Final = (*'"#()*+/:;<=>@[\\]^_`{|}~「」『』', *_PAIRS.split())
NEVER: Final = 1 << 62
"""The rank of what is no token."""

NOTES: Final = "♩♪♫♬♭♮♯"
"""Symbols of music: even a part of their bytes is no speech."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The text tokens of a model.

    Attributes:
        pieces: byte string of every token, by id; one may be empty.
        ranks: id by byte string.
    """

    pieces: tuple[bytes, ...]
    ranks: Mapping[bytes, int]

    @classmethod
    def read(cls, data: memoryview | bytes, count: int) -> Vocabulary:
        """Read `tokens.txt`: a base64 byte string on each line, by id.

        Args:
            data: the file.
            count: how many tokens there must be.

        Raises:
            IntegrityError: `artifact_altered`, it is of another form or length, two tokens are
                equal, or a single byte is no token.
        """
        try:
            pieces = tuple(
                base64.b64decode(line, validate=True) for line in bytes(data).splitlines()
            )
        except ValueError as error:
            raise _altered(f"a line is not base64: {error}") from error
        if len(pieces) != count:
            raise _altered(f"it has {len(pieces)} tokens, the model {count}")
        ranks = {piece: rank for rank, piece in enumerate(pieces)}
        if len(ranks) != count:
            raise _altered("two tokens are equal")
        if any(bytes([byte]) not in ranks for byte in range(256)):
            raise _altered("a byte is missing")
        return cls(pieces, ranks)

    def decoded(self, ids: Iterable[int]) -> str:
        """The text of tokens; special tokens and incomplete characters at an end are left out."""
        count = len(self.pieces)
        return b"".join(self.pieces[i] for i in ids if i < count).decode("utf-8", "ignore")

    def encoded(self, text: str) -> list[int]:
        """The tokens of a text."""
        return encoded(text, self.ranks)

    def not_speech(self) -> list[int]:
        """Tokens of text that is not spoken: brackets, music (`non_speech_tokens` upstream)."""
        found = {self.encoded(" -")[0], self.encoded(" '")[0]}
        for symbol in (*SYMBOLS, *NOTES):
            for tokens in (self.encoded(symbol), self.encoded(" " + symbol)):
                if len(tokens) == 1 or symbol in NOTES:
                    found.add(tokens[0])
        return sorted(found)


def encoded(text: str, ranks: Mapping[bytes, int]) -> list[int]:
    """The tokens of a text.

    Args:
        text: any.
        ranks: id by byte string; every single byte is one.
    """
    return [ranks[part] for word in words_in(text) for part in _joined(word.encode("utf-8"), ranks)]


def words_in(text: str) -> Iterator[str]:
    """Split by GPT-2's rule; joined, the parts are the text.

    A part is a contraction; a run of letters, of digits or of other signs, with one space before
    it; or white space, of which the last character is left for the next part.
    """
    at = 0
    while at < len(text):
        end = _end_of_word(text, at)
        yield text[at:end]
        at = end


def _end_of_word(text: str, at: int) -> int:
    for short in CONTRACTIONS:
        if text.startswith(short, at):
            return at + len(short)
    spaced = text[at] == " " and at + 1 < len(text) and _kind(text[at + 1]) != "space"
    first = at + 1 if spaced else at
    kind = _kind(text[first])
    end = first
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    if kind == "space" and end < len(text) and end - at > 1:
        return end - 1
    return end


def _kind(char: str) -> str:
    category = unicodedata.category(char)[0]
    if category in "LN":
        return category
    return "space" if char.isspace() and char not in NO_SPACE else "other"


def _joined(word: bytes, ranks: Mapping[bytes, int]) -> Sequence[bytes]:
    """Byte pair encoding of one word; the leftmost of equal pairs first."""
    if word in ranks:
        return [word]
    parts = [bytes([byte]) for byte in word]

    def pair(at: int) -> int:
        return ranks.get(parts[at] + parts[at + 1], NEVER)

    pairs = [pair(at) for at in range(len(parts) - 1)]
    while pairs and (best := min(pairs)) < NEVER:
        at = pairs.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del pairs[at]
        if at < len(pairs):
            pairs[at] = pair(at)
        if at > 0:
            pairs[at - 1] = pair(at - 1)
    return parts


def _altered(what: str) -> IntegrityError:
    return IntegrityError(
        "artifact_altered",
        f"tokens.txt does not fit the model: {what}",
        "build the model again: glagol models build ID",
    )
