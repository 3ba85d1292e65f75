"""Tokens to words, as upstream counts them (`gigaam/timestamps_utils.py`).

A piece that starts with U+2581 opens a word, the piece " " separates two. A word begins with its
first token's frame and ends after its last token's; punctuation belongs to the word before it.
Upstream gives no confidence. Here it is the geometric mean of the token probabilities,
exp(mean(log p)): a product would punish long words for being long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from glagol.speech.engines.gigaam.vocabulary import SPACE
from glagol.speech.types import Token, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from glagol.speech.engines.gigaam.vocabulary import Vocabulary


def words_of(
    tokens: Iterable[Token], vocabulary: Vocabulary, *, start: float, frame_s: float
) -> list[Word]:
    """Group tokens into words.

    Args:
        tokens: by rising frame.
        vocabulary: turns pieces into text.
        start: time of frame 0, seconds.
        frame_s: seconds per frame.

    Returns:
        Words by rising time, exact times; none is empty.
    """
    words = []
    for group in _groups(tokens):
        text = vocabulary.decode(token.piece for token in group).strip()
        if text:
            mean = sum(token.logprob for token in group) / len(group)
            words.append(
                Word(
                    start=start + group[0].frame * frame_s,
                    end=start + (group[-1].frame + 1) * frame_s,
                    text=text,
                    confidence=min(1.0, math.exp(mean)),
                )
            )
    return words


def _groups(tokens: Iterable[Token]) -> Iterator[Sequence[Token]]:
    group: list[Token] = []
    for token in tokens:
        if token.piece == " " or token.piece.startswith(SPACE):
            if group:
                yield group
            group = []
        if token.piece != " ":
            group.append(token)
    if group:
        yield group
