"""Phrases as a trie of characters that a model's pieces walk.

Every node is a beginning of a phrase. A piece of several characters takes several steps, so a
phrase matches in each way that the model may cut it into pieces. Every phrase begins with the mark
of a word's begin, U+2581, which is matched and costs nothing.

The rule is one for all engines. Where the model picks something else than what a phrase needs, the
phrase pays the difference of their log probabilities. It is written if it pays no more than its
budget, `weight * (FLAT + PER_LETTER * letters)` nats, from the begin of a word to the end of one,
and of several phrases that one which saves most of its budget. So a phrase that is left before its
end changes nothing, long ones may pay more, and the model's own text of a phrase costs nothing
(weighted finite-state shallow fusion, with the reward at the phrase's end; the search among the
model's likely labels follows the word spotter of Andrusenko et al. 2024, arXiv 2406.07096).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MARK", "ROOT", "Alphabet", "Trie"]

MARK: Final = "\u2581"
"""Begins a word."""

ROOT: Final = 0
FLAT: Final = 2.0
"""Nats that a phrase may pay whatever its length."""

PER_LETTER: Final = 0.5
"""Nats that a phrase may pay for each letter."""

_Branch: TypeAlias = "dict[str, tuple[list[int], _Branch]]"


class Alphabet:
    """The pieces of a model.

    Args:
        pieces: the text of each label, `MARK` where a word begins; empty for labels without text.

    Attributes:
        letters: that stand in pieces.
        ends: labels before which a word is over: they begin a word, or have no letter or digit.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.letters = frozenset("".join(pieces))
        self.ends = frozenset(
            label for label, piece in enumerate(pieces) if piece and not piece[0].isalnum()
        )
        self._branches: _Branch = {}
        for label, piece in enumerate(pieces):
            at, labels = self._branches, None
            for letter in piece:
                labels, at = at.setdefault(letter, ([], {}))
            if labels is not None:
                labels.append(label)

    def walks(self, trie: Trie, node: int) -> dict[int, int]:
        """Each label whose piece the trie has from a node on, with the node where it ends."""
        found: dict[int, int] = {}
        todo = [(node, self._branches)]
        while todo:
            place, branches = todo.pop()
            for letter, child in trie.children[place].items():
                if letter in branches:
                    labels, further = branches[letter]
                    found.update(dict.fromkeys(labels, child))
                    if further:
                        todo.append((child, further))
        return found


@dataclass(slots=True)
class Trie:
    """All phrases of a list in the spelling of one model; filled by `add`, then only read.

    Attributes:
        alphabet: of the model.
        children: of each node, by letter.
        allowed: nats that may have been paid when a node is reached.
        budget: nats that the phrase which ends at a node may pay; 0 where none ends.
        most: the largest of `budget`.
    """

    alphabet: Alphabet
    children: list[dict[str, int]] = field(default_factory=lambda: [{}])
    allowed: list[float] = field(default_factory=lambda: [0.0])
    budget: list[float] = field(default_factory=lambda: [0.0])
    most: float = 0.0
    _steps: dict[int, dict[int, int]] = field(default_factory=dict)

    def add(self, text: str, weight: float) -> None:
        """Add a phrase: its words, single spaces between them."""
        node, letters = ROOT, 0
        for letter in MARK + text.replace(" ", MARK):
            letters += letter != MARK
            node = self._child(node, letter)
            spent = weight * (FLAT + PER_LETTER * letters)
            self.allowed[node] = max(self.allowed[node], spent)
        self.budget[node] = max(self.budget[node], spent)
        self.most = max(self.most, spent)

    def steps(self, node: int) -> dict[int, int]:
        """The labels that lead on from a node, and where."""
        found = self._steps.get(node)
        if found is None:
            found = self._steps[node] = self.alphabet.walks(self, node)
        return found

    def walk(self, labels: Iterable[int], node: int = ROOT) -> int | None:
        """The node that labels lead to; None where they leave the trie."""
        for label in labels:
            following = self.steps(node).get(label)
            if following is None:
                return None
            node = following
        return node

    def _child(self, node: int, letter: str) -> int:
        child = self.children[node].get(letter)
        if child is None:
            child = self.children[node][letter] = len(self.children)
            self.children.append({})
            self.allowed.append(0.0)
            self.budget.append(0.0)
        return child
