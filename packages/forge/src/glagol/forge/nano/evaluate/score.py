"""Word and character error rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the least number of insertions, deletions and substitutions between the two."""
    previous = list(range(len(hypothesis) + 1))
    for row, expected in enumerate(reference, start=1):
        current = [row]
        for column, given in enumerate(hypothesis, start=1):
            replaced = previous[column - 1] + (expected != given)
            current.append(min(previous[column] + 1, current[-1] + 1, replaced))
        previous = current
    return previous[-1]


@dataclass(frozen=True)
class Score:
    """Errors and totals over a set of clips; ё counts as е."""

    clips: int
    word_errors: int
    words: int
    letter_errors: int
    letters: int

    @property
    def wer(self) -> float:
        """Word error rate in percent."""
        return 100.0 * self.word_errors / max(1, self.words)

    @property
    def cer(self) -> float:
        """Character error rate in percent, spaces counted."""
        return 100.0 * self.letter_errors / max(1, self.letters)


def score(references: Sequence[str], hypotheses: Sequence[str]) -> Score:
    """Score hypotheses against references. Raises ValueError when their counts differ."""
    word_errors = words = letter_errors = letters = 0
    for raw_reference, raw_hypothesis in zip(references, hypotheses, strict=True):
        reference, hypothesis = raw_reference.replace("ё", "е"), raw_hypothesis.replace("ё", "е")
        word_errors += edit_distance(reference.split(), hypothesis.split())
        words += len(reference.split())
        letter_errors += edit_distance(reference, hypothesis)
        letters += len(reference)
    return Score(len(references), word_errors, words, letter_errors, letters)
