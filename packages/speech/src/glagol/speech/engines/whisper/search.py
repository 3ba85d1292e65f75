"""Search for the text of one window: greedy, by beams, or by chance at a temperature.

Sources: `whisper/decoding.py` upstream for the beams; sampling adds Gumbel noise to the logits and
takes the greatest (E. J. Gumbel, 1954), with noise that is a function of a seed and of the place
alone: the same window gives the same text everywhere, whatever runs beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.speech.engines.whisper.graphs import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.whisper.graphs import Cross, Graphs
    from glagol.speech.engines.whisper.ids import Ids
    from glagol.speech.engines.whisper.rules import Rules
    from glagol.speech.types import Array

__all__ = ["Decoded", "Search", "best_of", "noise"]

BEST_OF: Final = 5
"""Texts among which the likeliest is taken at a temperature."""

HOPELESS: Final = 20.0
"""Tokens that are so much below the best, in units of the temperature, are not drawn."""

BLOCK: Final = 204
"""Logits per block in which the greatest are looked for."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text of one window.

    Attributes:
        tokens: text tokens and timestamps, without the end.
        logprobs: of each, under the rules, <= 0.
        average: log of the probability per token, the end counted.
        no_speech: probability that nothing is said, 0..1.
        temperature: at which it was sampled; 0 for the likeliest.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    average: float
    no_speech: float
    temperature: float


@dataclass(frozen=True, slots=True)
class _Path:
    """A text that grows: its tokens and the log of the probability of each."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    score: float = 0.0

    def then(self, token: int, logprob: float) -> _Path:
        return _Path((*self.tokens, token), (*self.logprobs, logprob), self.score + logprob)


class Search:
    """Searches one window; used by one thread.

    Args:
        graphs: the model.
        ids: of its special tokens.
        rules: what may be sampled.
        cross: the window.
        prompt: tokens before the first sampled one, with `sot` among them.
        stop: set by another thread to give up.
    """

    def __init__(
        self,
        graphs: Graphs,
        ids: Ids,
        rules: Rules,
        cross: Cross,
        prompt: Sequence[int],
        stop: Interrupt | None = None,
    ) -> None:
        self._ids, self._rules = ids, rules
        self._longest = graphs.context // 2
        self._state = State(graphs, cross, 1, stop)
        at = (list(prompt).index(ids.sot), len(prompt) - 1)
        logits = self._state.step(np.array([prompt], np.int64), at)[0]
        self._first = logits[1].copy()
        odds = np.exp(logits[0] - logits[0].max())
        self._no_speech = float(odds[ids.no_speech] / odds.sum())

    def run(self, *, temperature: float = 0.0, beams: int = 1, seed: int = 0) -> Decoded:
        """Find a text.

        Args:
            temperature: 0 for the likeliest; above, texts are sampled and the likeliest is taken.
            beams: at temperature 0; 1 is greedy.
            seed: of the noise, 0 to 2**64 - 1.

        Raises:
            HostError: `cancelled`.
        """
        if temperature > 0:
            path, end = self._sampled(temperature, BEST_OF, seed)
        elif beams > 1:
            path, end = self._beams(beams)
        else:
            path, end = self._sampled(0.0, 1, seed)
        average = (path.score + end) / (len(path.tokens) + 1)
        return Decoded(path.tokens, path.logprobs, average, self._no_speech, temperature)

    def _sampled(self, temperature: float, count: int, seed: int) -> tuple[_Path, float]:
        """The likeliest of `count` texts, and the log-probability of its end."""
        eot = self._ids.eot
        state = self._state if count == 1 else self._state.branched(count)
        start = state.count
        paths, ends = [_Path()] * count, [0.0] * count
        rows: Sequence[Array] = [self._first.copy() for _ in paths]
        live = set(range(count))
        while True:
            following = np.full((count, 1), eot, np.int64)
            for row in sorted(live):
                logits = rows[row]
                self._rules.apply(logits, paths[row].tokens)
                token = int(logits.argmax())
                if temperature > 0:
                    place = (len(paths[row].tokens) * count + row) * len(logits)
                    token = _chosen(logits, temperature, seed, place)
                logprob = _logprob(logits, token)
                if token == eot:
                    ends[row] = logprob
                    live.discard(row)
                else:
                    paths[row] = paths[row].then(token, logprob)
                    following[row] = token
            if not live or state.count - start >= self._longest - 1 or not state.room:
                break
            rows = list(state.step(following)[:, 0])
        state.rewind(start)
        averages = [
            (path.score + end) / (len(path.tokens) + 1)
            for path, end in zip(paths, ends, strict=True)
        ]
        best = averages.index(max(averages))
        return paths[best], ends[best]

    def _beams(self, count: int) -> tuple[_Path, float]:
        """The likeliest text by beams, and the log-probability of its end."""
        state = self._state.branched(count)
        start = state.count
        paths = [_Path()]
        rows: Sequence[Array] = [self._first.copy()]
        done: list[tuple[_Path, float]] = []
        while True:
            live: list[tuple[int, _Path]] = []
            for row, token, logprob in self._continuations(paths, rows, count):
                if token == self._ids.eot:
                    done.append((paths[row], logprob))
                else:
                    live.append((row, paths[row].then(token, logprob)))
                if len(live) == count or len(done) == count:
                    break
            if len(done) == count or not live:
                break
            paths = [path for _, path in live]
            if state.count - start >= self._longest - 1 or not state.room:
                break
            padded = live + [live[-1]] * (count - len(live))
            state.reorder([row for row, _ in padded])
            last = np.array([[path.tokens[-1]] for _, path in padded], np.int64)
            rows = list(state.step(last)[:, 0])
        if len(done) < count:
            rest = sorted(paths, key=lambda path: -path.score)
            done += [(path, 0.0) for path in rest[: count - len(done)]]
        return max(done, key=lambda each: (each[0].score + each[1]) / max(1, len(each[0].tokens)))

    def _continuations(
        self, paths: Sequence[_Path], rows: Sequence[Array], count: int
    ) -> Iterator[tuple[int, int, float]]:
        """Row, token and log-probability of the best continuations, the likeliest path first."""
        found = []
        for row, path in enumerate(paths):
            logits = rows[row]
            self._rules.apply(logits, path.tokens)
            highest = float(logits.max())
            base = highest + float(np.log(np.exp(logits - highest).sum()))
            for token in best_of(logits, count + 1):
                logprob = float(logits[token]) - base
                if np.isfinite(logprob):
                    found.append((path.score + logprob, row, int(token), logprob))
        found.sort(key=lambda each: (-each[0], each[1], each[2]))
        for _, row, token, logprob in found:
            yield row, token, logprob


def best_of(logits: Array, count: int) -> NDArray[np.int64]:
    """Indices int64 [count] of the greatest of logits float32 [n], in no order.

    They lie in the `count` blocks with the greatest maxima; partitioning all of 51,865 logits takes
    as long as a layer of the decoder.
    """
    whole = len(logits) // BLOCK * BLOCK
    highest = logits[:whole].reshape(-1, BLOCK).max(axis=1)
    blocks = np.argpartition(highest, -count)[-count:] if len(highest) > count else None
    if blocks is None:
        places = np.arange(len(logits))
    else:
        inside = (blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK)).ravel()
        places = np.concatenate([inside, np.arange(whole, len(logits))])
    if len(places) <= count:
        return places
    found: NDArray[np.int64] = places[np.argpartition(logits[places], -count)[-count:]]
    return found


def _chosen(logits: Array, temperature: float, seed: int, place: int) -> int:
    """A token by chance, of those that are not hopeless; logits float32 [vocabulary]."""
    likely = np.flatnonzero(logits >= logits.max() - np.float32(HOPELESS * temperature))
    chances = noise(seed, likely.astype(np.uint64) + np.uint64(place))
    return int(likely[(logits[likely] / np.float32(temperature) + chances).argmax()])


def noise(seed: int, places: NDArray[np.uint64]) -> Array:
    """Gumbel noise float32 [n], a function of the seed and of places uint64 [n] alone.

    Source of the mixing: SplitMix64 (G. L. Steele et al., Fast Splittable Pseudorandom Number
    Generators, 2014), which is a permutation of a counter.
    """
    z = np.uint64(seed) + (places + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    uniform = ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    gumbel: Array = -np.log(-np.log(uniform)).astype(np.float32)
    return gumbel


def _logprob(logits: Array, token: int) -> float:
    """Log of a token's probability under the rules; logits float32 [vocabulary]."""
    highest = float(logits.max())
    return float(logits[token]) - highest - float(np.log(np.exp(logits - highest).sum()))
