"""Logit filters: which token may come next (`whisper/decoding.py` upstream)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glagol.speech.engines.whisper.ids import Ids
    from glagol.speech.engines.whisper.vocabulary import Vocabulary
    from glagol.speech.types import Array

__all__ = ["RULES_VERSION", "Rules"]

RULES_VERSION: Final = 1
"""Of what decides between tokens, attempts and windows; it grows when a text may change by it."""

FIRST_MAX: Final = 50
"""The first timestamp is at most 1.0 s."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Forbids tokens, given those before.

    Attributes:
        ids: of the special tokens.
        never: ids that are never sampled, int64 [n].
        not_first: ids that do not come first, int64 [n].
    """

    ids: Ids
    never: NDArray[np.int64]
    not_first: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Ids, vocabulary: Vocabulary) -> Rules:
        """The rules of a model: no symbols that are not spoken, no special tokens, not nothing."""
        never = [*vocabulary.not_speech(), *range(ids.sot, ids.timestamps)]
        blank = vocabulary.encoded(" ")
        return cls(ids, np.array(never, np.int64), np.array([*blank, ids.eot], np.int64))

    def apply(self, logits: Array, tokens: Sequence[int]) -> None:
        """Set the logits of forbidden tokens to minus infinity.

        Timestamps come in pairs but for the first and the last, and never go back. A segment is
        not empty. Where all timestamps together are likelier than the best other token, only they
        remain.

        Args:
            logits: float32 [vocabulary], changed in place.
            tokens: sampled so far.
        """
        first, eot = self.ids.timestamps, self.ids.eot
        never = np.float32(-np.inf)
        logits[self.never] = never
        if not tokens:
            logits[self.not_first] = never
            logits[:first] = never
            logits[first + FIRST_MAX + 1 :] = never
            return
        last = tokens[-1] >= first
        before = len(tokens) < 2 or tokens[-2] >= first
        if last and before:
            logits[first:] = never
        elif last:
            logits[:eot] = never
        latest = next((token for token in reversed(tokens) if token >= first), None)
        if latest is not None:
            logits[first : latest + (0 if last and not before else 1)] = never
        highest = logits.max()
        times = np.exp(logits[first:] - highest).sum()
        if times > 0 and np.log(times) > logits[:first].max() - highest:
            logits[:first] = never
