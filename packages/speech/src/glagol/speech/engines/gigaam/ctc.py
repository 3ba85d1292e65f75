"""CTC decoding (Graves et al. 2006): best class of each frame, runs merged, blanks removed.

The frame of a token is the first of its run, as upstream has it; its probability is the highest of
the run, since the first frame of a run is where the network is least sure.

With phrases the classes of some frames are others than the best ones: tokens pass through the trie
of the phrases (`glagol.speech.phrases.trie`) over all classes that are not too unlikely, and pay
what these are less likely than the best class of the frame. Probabilities stay the network's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from glagol.speech.phrases.matches import Match, chosen
from glagol.speech.phrases.trie import MARK, ROOT
from glagol.speech.types import Array, Emission

if TYPE_CHECKING:
    from glagol.speech.phrases.trie import Trie

__all__ = ["greedy", "spotted"]

_Chain: TypeAlias = "tuple[int, _Chain] | None"
"""Labels of frames, the last one first."""

_Tokens: TypeAlias = "dict[tuple[int, int], tuple[float, int, _Chain]]"
"""By node and last label: what was paid, the first frame, the labels since."""


def greedy(log_probs: Array, blank: int) -> list[Emission]:
    """Decode one recording.

    Args:
        log_probs: float32 [T, C], natural logarithms of class probabilities, only valid frames.
        blank: index of the blank class.

    Returns:
        Emissions by rising frame; never blank.
    """
    if not len(log_probs):
        return []
    return _collapsed(log_probs, log_probs.argmax(axis=1), blank)


def spotted(log_probs: Array, blank: int, trie: Trie) -> list[Emission]:
    """Decode one recording; phrases are written where they are likely enough.

    Args:
        log_probs: float32 [T, C], as for `greedy`.
        blank: index of the blank class.
        trie: of the phrases.

    Returns:
        Emissions by rising frame; those of `greedy` where no phrase is written.
    """
    if not len(log_probs):
        return []
    path = log_probs.argmax(axis=1)
    for match in chosen(_matches(log_probs, path, blank, trie)):
        if match.cost > 0:
            path[match.start : match.end] = match.labels
    return _collapsed(log_probs, path, blank)


def _collapsed(log_probs: Array, path: Array, blank: int) -> list[Emission]:
    """The emissions of one class [T] for each frame."""
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    peaks = np.maximum.reduceat(log_probs[np.arange(len(path)), path], starts)
    return [
        Emission(int(path[start]), int(start), float(peak))
        for start, peak in zip(starts, peaks, strict=True)
        if path[start] != blank
    ]


def _matches(log_probs: Array, path: Array, blank: int, trie: Trie) -> list[Match]:
    """Where phrases are within their budgets."""
    below = log_probs[np.arange(len(path)), path][:, np.newaxis] - log_probs
    rows, labels = np.nonzero(below <= trie.most)
    costs = below[rows, labels].tolist()
    near: list[dict[int, float]] = [{} for _ in range(len(path))]
    for row, label, cost in zip(rows.tolist(), labels.tolist(), costs, strict=True):
        near[row][label] = cost
    found: list[Match] = []
    begin = trie.children[ROOT].get(MARK, ROOT)
    tokens: _Tokens = {}
    before = blank
    if trie.steps(begin):
        tokens[begin, blank] = (0.0, 0, None)  # the first word needs no space
    for frame, costs in enumerate(near):
        found += _ended(tokens, costs, trie)
        tokens = _passed(tokens, costs, blank, trie)
        for label, node in trie.steps(ROOT).items():
            cost = costs.get(label)
            if cost is not None and cost <= trie.allowed[node] and label != before:
                _put(tokens, (node, label), (cost, frame, (label, None)))
        before = int(path[frame])
    return found + _ended(tokens, None, trie)


def _passed(tokens: _Tokens, costs: dict[int, float], blank: int, trie: Trie) -> _Tokens:
    """The tokens after one more frame, whose likely classes cost `costs`."""
    passed: _Tokens = {}
    rest = costs.get(blank)
    for (node, last), (paid, start, chain) in tokens.items():
        allowed = trie.allowed[node]
        if rest is not None and paid + rest <= allowed:
            _put(passed, (node, blank), (paid + rest, start, (blank, chain)))
        if last != blank and last in costs and paid + costs[last] <= allowed:
            _put(passed, (node, last), (paid + costs[last], start, (last, chain)))
        steps = trie.steps(node)
        for label, cost in costs.items():
            child = steps.get(label)
            if child is None or label == last:
                continue
            if paid + cost <= trie.allowed[child]:
                _put(passed, (child, label), (paid + cost, start, (label, chain)))
    return passed


def _put(tokens: _Tokens, key: tuple[int, int], token: tuple[float, int, _Chain]) -> None:
    """Keep the cheaper one; of equals the first."""
    known = tokens.get(key)
    if known is None or token[0] < known[0]:
        tokens[key] = token


def _ended(tokens: _Tokens, costs: dict[int, float] | None, trie: Trie) -> list[Match]:
    """The phrases that are over before a frame with likely classes `costs`, or before no frame.

    Where the best class of the frame is no end of a word, the likeliest end takes its place.
    """
    found = []
    for (node, last), (paid, start, chain) in tokens.items():
        budget = trie.budget[node]
        if not budget:
            continue
        cost, label = 0.0, last
        if costs is not None:
            ends = trie.alphabet.ends
            over = [(cost, label) for label, cost in costs.items() if label in ends]
            cost, label = min(over, default=(budget, last))
        if (label == last and costs is not None) or paid + cost > budget:
            continue
        labels = _labels((label, chain) if cost > 0 else chain)
        found.append(Match(start, start + len(labels), paid + cost, budget, labels))
    return found


def _labels(chain: _Chain) -> tuple[int, ...]:
    labels = []
    while chain is not None:
        label, chain = chain
        labels.append(label)
    return tuple(reversed(labels))
