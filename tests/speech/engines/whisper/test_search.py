"""Searches of a made-up model beside the same steps without a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from glagol.runtime.options import Runtime
from glagol.speech.engines.whisper.attempts import TEMPERATURES, Attempts, padded, repetition
from glagol.speech.engines.whisper.engine import Whisper
from glagol.speech.engines.whisper.graphs import State
from glagol.speech.engines.whisper.search import Decoded, Search, best_of, noise
from speech import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.registry.registry import OpenModel
    from glagol.speech.engines.whisper.graphs import Cross
    from glagol.speech.types import Array


@pytest.fixture(scope="module")
def engine(made_model: Callable[..., OpenModel]) -> Whisper:
    """The engine of the made-up model."""
    return Whisper(made_model(), Runtime(threads=1))


@pytest.fixture(scope="module")
def cross(engine: Whisper) -> Cross:
    """One encoded window."""
    mel = engine.front_end(made.tone(1.5))
    return engine.graphs.encode(padded(mel, 400))


def search(engine: Whisper, cross: Cross, prefix: tuple[int, ...] = ()) -> Search:
    """A search for Russian text."""
    prompt = [*prefix, *engine.ids.start("ru", "transcribe")]
    return Search(engine.graphs, engine.ids, engine.rules, cross, prompt)


def judged(engine: Whisper, cross: Cross, tokens: tuple[int, ...]) -> list[tuple[int, float]]:
    """For every token: the likeliest one in its place and its own log-probability, all at once."""
    start = engine.ids.start("ru", "transcribe")
    read = [*start, *tokens]
    rows = State(engine.graphs, cross).step(np.array([read]), range(len(start) - 1, len(read)))[0]
    found = []
    for at, token in enumerate(tokens):
        row = rows[at]
        engine.rules.apply(row, tokens[:at])
        odds = row.astype(np.float64) - row.max()
        found.append((int(row.argmax()), odds[token] - np.log(np.exp(odds).sum())))
    return found


def test_greedy_takes_the_likeliest_token(engine: Whisper, cross: Cross) -> None:
    """Step by step on the cache gives what one pass over the whole text gives."""
    found = search(engine, cross).run()
    assert len(found.tokens) > 5
    best, logprobs = zip(*judged(engine, cross, found.tokens), strict=True)
    assert best == found.tokens
    assert found.logprobs == pytest.approx(logprobs, abs=1e-3)
    assert len(found.tokens) <= engine.graphs.context // 2
    assert 0 <= found.no_speech <= 1


@pytest.mark.parametrize("beams", [2, 5])
def test_beams_keep_their_own_cache(engine: Whisper, cross: Cross, beams: int) -> None:
    """Log-probabilities along the winner's path are those of one pass over it."""
    found = search(engine, cross).run(beams=beams)
    logprobs = [logprob for _, logprob in judged(engine, cross, found.tokens)]
    assert found.logprobs == pytest.approx(logprobs, abs=1e-3)
    greedy = search(engine, cross).run()
    per_token = [sum(each.logprobs) / len(each.tokens) for each in (found, greedy)]
    assert per_token[0] >= per_token[1] - 0.05


def test_a_row_continues_from_its_parent(engine: Whisper, cross: Cross) -> None:
    """Rows that change places say what they would have said in their old ones."""
    start = engine.ids.start("ru", "transcribe")

    def spoken(*, swap: bool) -> Array:
        state = State(engine.graphs, cross, 2)
        state.step(np.array([[*start, 300], [*start, 301]]))
        if swap:
            state.reorder([1, 0])
        return state.step(np.array([[302], [302]]))[:, 0].copy()

    straight, swapped = spoken(swap=False), spoken(swap=True)
    assert np.array_equal(swapped, straight[::-1])
    assert np.abs(straight[0] - straight[1]).max() > 0.1


def test_sampling_follows_its_seed(engine: Whisper, cross: Cross) -> None:
    """The same seed gives the same text, in any order of attempts; another one another text."""
    one = search(engine, cross)
    first = one.run(temperature=8.0, seed=7)
    greedy = one.run()
    again = one.run(temperature=8.0, seed=7)
    assert again == first
    assert greedy == search(engine, cross).run()
    assert one.run(temperature=8.0, seed=8).tokens != first.tokens
    logprobs = [logprob for _, logprob in judged(engine, cross, first.tokens)]
    assert first.logprobs == pytest.approx(logprobs, abs=1e-3)


def test_a_prefix_leaves_its_room(engine: Whisper, cross: Cross) -> None:
    """Before a long prefix the text is cut where the context ends."""
    prefix = (engine.ids.sot_prev, *range(300, 315))
    found = search(engine, cross, prefix).run()
    assert len(found.tokens) <= engine.graphs.context - len(prefix) - 3 + 1


def test_noise_is_gumbels() -> None:
    """Mean and spread of the distribution; a function of the place, whatever is asked beside."""
    places = np.arange(200_000, dtype=np.uint64)
    found = noise(5, places)
    assert found.mean() == pytest.approx(0.5772, abs=0.01)
    assert found.std() == pytest.approx(np.pi / np.sqrt(6), abs=0.01)
    assert np.array_equal(noise(5, places[100:200]), found[100:200])
    assert not np.array_equal(noise(6, places[:10]), found[:10])
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.01


@pytest.mark.parametrize("count", [1, 6, 60_000])
def test_the_best_are_found_in_blocks(count: int) -> None:
    """As a full sort finds them."""
    logits = np.random.default_rng(count).normal(size=51_865).astype(np.float32)
    logits[:3] = -np.inf
    expected = np.argsort(logits)[-count:]
    assert set(best_of(logits, count)) == set(expected)


def test_repetition_counts_bytes() -> None:
    """Cyrillic is not taken for repetition, and loops are found."""
    assert repetition("Сегодня утром пошёл дождь, но к обеду выглянуло солнце.") < 2
    assert repetition("да, да, да, " * 12) > 2.4
    assert repetition("") == 0


def attempts(engine: Whisper, window: str) -> Attempts:
    """How windows are read, with a margin of a second."""
    return Attempts(
        engine.graphs,
        engine.ids,
        engine.rules,
        engine.vocabulary,
        window=window,  # type: ignore[arg-type]
        margin=100,
        beams=1,
        temperature=0.0,
        seed=b"seed",
    )


def test_a_bad_text_is_tried_with_the_full_window_and_then_by_chance(
    engine: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cropped, full, and every temperature; the likeliest of all remains."""
    tried: list[tuple[int, float]] = []

    def run(self: Search, **options: float) -> Decoded:
        length = self._state._cross.tensors["cross_key_0"].value.shape()[2]
        tried.append((length, options["temperature"]))
        average = -1.5 if options["temperature"] == 0.6 else -2.0
        return Decoded((1,), (average,), average, 0.1, options["temperature"])

    monkeypatch.setattr(Search, "run", run)
    mel = engine.front_end(made.tone(0.9))
    found = attempts(engine, "cropped").best(mel, engine.ids.start("ru", "transcribe"))
    assert tried == [(95, 0.0), *((1500, temperature) for temperature in TEMPERATURES)]
    assert found.decoded.temperature == 0.6
    assert found.full
    tried.clear()
    attempts(engine, "full").best(mel, engine.ids.start("ru", "transcribe"))
    assert [length for length, _ in tried] == [1500] * 6


def test_silence_ends_the_attempts(engine: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unlikely text where there seems to be no speech is not tried again."""
    tried: list[float] = []

    def run(_: Search, *, temperature: float, **__: int) -> Decoded:
        tried.append(temperature)
        return Decoded((1,), (-3.0,), -3.0, 0.9, temperature)

    monkeypatch.setattr(Search, "run", run)
    mel = engine.front_end(made.tone(0.9))
    assert attempts(engine, "cropped").best(mel, engine.ids.start("ru", "transcribe")).silent
    assert tried == [0.0]
