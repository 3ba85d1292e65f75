"""Greedy RNN-T decoding of one recording, with phrases that are written where they are likely.

The search is greedy until, inside a word that begins like a phrase, a label or a blank that keeps
to the phrase is nearly as likely as the best one. From the begin of that word all ways of the trie
(`glagol.speech.phrases.trie`) are then followed, frame by frame, as far as they can pay; a phrase
that ends within its budget takes the place of what was written since, and the greedy search
continues behind it. Every node of the trie has one state of the prediction network, and for each
frame the least that must be paid to stand there: a blank moves it to the next frame, a label to a
child.

A label is never made likelier, so nothing can be emitted again and again for the sake of a phrase,
and the probabilities are the network's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from glagol.speech.engines.gigaam.rnnt import BLOCK, Transducer
from glagol.speech.phrases.trie import MARK, ROOT
from glagol.speech.types import Array, Emission

if TYPE_CHECKING:
    from glagol.speech.phrases.trie import Trie

__all__ = ["spotted"]

State: TypeAlias = tuple[Array, Array]

AHEAD_MAX: Final = 24
"""Frames that a node is followed for, about a second: letters are nearer to each other."""

NODES_MAX: Final = 200
"""Nodes that are followed from the begin of one word."""

END_SLACK: Final = 1.0
"""Nats that an earlier end of a word may cost more than a later one, which swallows text."""

FAR: Final = 1e9


@dataclass(slots=True)
class _Anchor:
    """The begin of a word: where the search stood, and how far the text since is in the trie.

    `known` are the states of the prediction network behind the nodes of that text.
    """

    at: int
    symbols: int
    count: int
    state: State
    root: int
    node: int
    known: dict[int, State] = field(default_factory=dict)


@dataclass(slots=True)
class _Place:
    """A node of the trie that is followed.

    Attributes:
        node: of the trie.
        label: that leads to it; of the first place none.
        parent: the place before.
        first: frame of the first row.
        entry: least cost of arriving on each frame [n], by the label.
        paid: least cost of standing there [n].
        scores: of all classes [n, C].
        state: of the prediction network.
    """

    node: int
    label: int
    parent: _Place | None
    first: int
    entry: Array
    state: State
    paid: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    scores: Array = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class _Found:
    """A phrase within its budget: what it pays and saves, its last place and the frame behind."""

    cost: float
    saved: float
    place: _Place
    frame: int
    end: int | None


def spotted(head: Transducer, encoded: Array, trie: Trie) -> list[Emission]:
    """Decode one recording.

    Args:
        head: of the model.
        encoded: float32 [T, J], the joint's projection of the encoder output, valid frames.
        trie: of the phrases.

    Returns:
        Emissions by rising frame, never blank; those of `Transducer.greedy` where no phrase is
        written.
    """
    return _Search(head, encoded, trie).run()


class _Search:
    """The state of the search in one recording."""

    def __init__(self, head: Transducer, encoded: Array, trie: Trie) -> None:
        self.head, self.trie, self.end = head, trie, len(encoded)
        gap = np.zeros((BLOCK, encoded.shape[1]), np.float32)
        self.frames = np.concatenate([encoded, gap])
        self.at = self.symbols = 0
        self.state = head.start
        self.emissions: list[Emission] = []
        self.reaches: dict[int, float] = {}
        begin = trie.children[ROOT].get(MARK, ROOT)
        self.apart = bool(trie.steps(begin))  # the mark is a piece of its own
        self.anchors = self._anchored(begin if self.apart else ROOT)

    def run(self) -> list[Emission]:
        """The emissions of the whole recording."""
        while self.at < self.end:
            scores = self._scores(self.at, self.state)[0]
            rows = min(BLOCK, self.end - self.at)
            labels = scores[:rows].argmax(axis=1).tolist()
            silent = 0
            while silent < rows and labels[silent] == self.head.blank:
                silent += 1
            seen = scores[: min(silent + 1, rows)]
            if self.anchors and self._doubtful(seen, labels) and self._written():
                continue
            if silent:
                self.at, self.symbols = self.at + silent, 0
            if silent < rows:
                self._emit(labels[silent], _logprob(scores[silent], labels[silent]))
        return self.emissions

    def _scores(self, at: int, state: State) -> Array:
        return self.head.scores(self.frames[np.newaxis, at : at + BLOCK], state)

    def _anchored(self, node: int | None) -> list[_Anchor]:
        if node is None or not self.trie.steps(node):
            return []
        return [_Anchor(self.at, self.symbols, len(self.emissions), self.state, node, node)]

    def _emit(self, label: int, logprob: float) -> None:
        """Emit at the frame where it is, and follow the trie."""
        self.emissions.append(Emission(label, self.at, logprob))
        self.state = self.head.after([label], self.state)
        self.symbols += 1
        if self.symbols == self.head.max_symbols:
            self.at, self.symbols = self.at + 1, 0
        left = []
        for anchor in self.anchors:
            node = self.trie.steps(anchor.node).get(label)
            if node is not None:
                anchor.node = node
                anchor.known[node] = self.state
                left.append(anchor)
        opened = self.trie.steps(ROOT).get(label) if self.apart else ROOT
        self.anchors = [*left, *self._anchored(opened)]

    def _doubtful(self, seen: Array, picked: list[int]) -> bool:
        """Whether a phrase may lead another way than the model's picks.

        Scores `seen` [n, C] are of the next frames, up to the first that is not blank; `picked` are
        their best classes.
        """
        allowed, blank = self.trie.allowed, self.head.blank
        most = max(self._reach(anchor.node) for anchor in self.anchors)
        tops = seen.max(axis=1)
        rows, labels = np.nonzero(seen >= tops[:, np.newaxis] - most)
        if len(rows) == len(seen):  # the best ones alone
            return False
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            pick = picked[row]
            if label == pick:
                continue
            cost = float(tops[row] - seen[row, label])
            for anchor in self.anchors:
                steps = self.trie.steps(anchor.node)
                node = steps.get(label)
                if label == blank and pick not in steps and anchor.node != anchor.root:
                    node = anchor.node
                if node is not None and cost <= allowed[node]:
                    return True
        return False

    def _reach(self, node: int) -> float:
        """The most that may have been paid one step behind a node, or on it."""
        found = self.reaches.get(node)
        if found is None:
            allowed = self.trie.allowed
            nodes = [node, *self.trie.steps(node).values()]
            found = self.reaches[node] = max(allowed[each] for each in nodes)
        return found

    def _written(self) -> bool:
        """Write the phrase that saves most, if any is within its budget."""
        found: list[tuple[_Found, _Anchor]] = []
        for anchor in self.anchors:
            found += [(each, anchor) for each in self._followed(anchor)]
        self.anchors = []
        if not found:
            return False
        best, anchor = max(found, key=lambda pair: pair[0].saved)
        if best.cost <= 0:
            return False
        self._write(best, anchor)
        return True

    def _followed(self, anchor: _Anchor) -> list[_Found]:
        """All phrases that begin at a word and are within their budgets."""
        start = _Place(anchor.root, -1, None, anchor.at, np.zeros(1, np.float32), anchor.state)
        todo, found, left = [start], [], NODES_MAX
        while todo and left:
            place, left = todo.pop(), left - 1
            self._stand(place)
            best = place.scores.max(axis=1)
            found += self._over(place, best)
            steps = self.trie.steps(place.node)
            labels = list(steps)
            entries = (place.paid + best)[:, np.newaxis] - place.scores[:, labels]
            least = entries.min(axis=0, initial=FAR).tolist()
            for column, label in enumerate(labels):
                node = steps[label]
                if least[column] > self.trie.allowed[node]:
                    continue
                state = anchor.known.get(node) or self.head.after([label], place.state)
                near = np.flatnonzero(entries[:, column] <= self.trie.allowed[node])
                entry = entries[near[0] : near[-1] + 1, column]
                first = place.first + int(near[0])
                todo.append(_Place(node, label, place, first, entry, state))
        return found

    def _stand(self, place: _Place) -> None:
        """Fill in what it costs to stand at a place, as long as it can be paid.

        Before its first letter a phrase waits for free or not at all: else it would swallow words.
        """
        allowed = self.trie.allowed[place.node] if place.parent else 0.0
        rows: list[Array] = []
        paid: list[float] = []
        entry = place.entry.tolist()
        stand, at = FAR, place.first
        while at < self.end and at - place.first < AHEAD_MAX:
            block = self._scores(at, place.state)[0][: self.end - at]
            rest = (block.max(axis=1) - block[:, self.head.blank]).tolist()
            rows.append(block)
            for cost in rest:
                arrival = entry[len(paid)] if len(paid) < len(entry) else FAR
                stand = min(stand, arrival)
                paid.append(stand)
                stand += cost if place.parent or not cost else FAR
            at += len(block)
            if stand > allowed and len(paid) >= len(entry):
                break
        place.paid, place.scores = np.array(paid, np.float32), np.concatenate(rows)

    def _over(self, place: _Place, best: Array) -> list[_Found]:
        """The phrase that ends at a place, if it can pay its end."""
        budget = self.trie.budget[place.node]
        if not budget:
            return []
        ends = sorted(self.trie.alphabet.ends)
        costs = place.paid[:, np.newaxis] + (best[:, np.newaxis] - place.scores[:, ends])
        least = costs.min(axis=1)
        frame = int(np.flatnonzero(least <= least.min() + END_SLACK)[0])
        cost, end = float(least[frame]), ends[int(costs[frame].argmin())]
        if place.first + len(place.paid) == self.end:  # nothing need follow
            last = len(place.paid) - 1
            rest = float(place.paid[last] + best[last] - place.scores[last, self.head.blank])
            if rest <= min(cost, budget):
                return [_Found(rest, budget - rest, place, last + 1, None)]
        return [_Found(cost, budget - cost, place, frame, end)] if cost <= budget else []

    def _write(self, found: _Found, anchor: _Anchor) -> None:
        """Go back to the begin of the word, write the phrase, and continue behind it."""
        del self.emissions[anchor.count :]
        written: list[Emission] = []
        place, frame = found.place, found.frame
        while place.parent is not None:
            row = min(frame, len(place.paid) - 1)
            while row and not (row < len(place.entry) and place.paid[row] == place.entry[row]):
                row -= 1
            at = place.first + row
            before = place.parent
            frame = at - before.first
            logprob = _logprob(before.scores[frame], place.label)
            written.append(Emission(place.label, at, logprob))
            place = before
        self.emissions += reversed(written)
        self.state = found.place.state
        self.at, self.symbols = found.place.first + found.frame, 0
        self.anchors = []
        if found.end is not None:
            scores = found.place.scores[found.frame]
            self._emit(found.end, _logprob(scores, found.end))


def _logprob(scores: Array, label: int) -> float:
    """Log of the probability of a class among scores [C]."""
    below = scores - scores[label]
    return -float(np.log(np.exp(below).sum()))
