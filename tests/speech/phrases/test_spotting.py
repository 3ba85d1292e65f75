"""Phrases in CTC and RNN-T decoding: against all paths, and on real audio in noise."""

from __future__ import annotations

import io
import itertools
import json
import wave
from collections.abc import Callable

import numpy as np
import pytest

import homes
from glagol.speech import Options, Recognizer
from glagol.speech.audio.decode import decode
from glagol.speech.engines.gigaam.ctc import greedy, spotted
from glagol.speech.output.formats import as_data, as_json, of_data
from glagol.speech.phrases.spelling import compiled
from glagol.speech.phrases.trie import FLAT, MARK, PER_LETTER, Alphabet
from glagol.speech.phrases.types import Phrase, listed
from glagol.speech.types import Array, Emission

PIECES = [MARK, "а", "б", "в"]
BLANK = len(PIECES)
ALPHABET = Alphabet(PIECES)
GOLDEN = homes.ROOT / "models/gigaam-nano/golden"

UNRELATED = [
    "".join(syllables)
    for syllables in itertools.product(
        ("бур", "клю", "шты", "гро", "фьо", "чум", "щед", "эйв", "юрк", "яхт"),
        ("ба", "жи", "зву", "ло", "хе"),
        ("дюк", "мянт", "ровщ", "цын", "гуш"),
    )
]
"""Words that are in no recording here."""


def spelled(emissions: list[Emission]) -> str:
    """Text of emissions."""
    return "".join(PIECES[each.label] for each in emissions).replace(MARK, " ")


def collapsed(path: tuple[int, ...]) -> str:
    """Text of a path of classes."""
    runs = [label for label, _ in itertools.groupby(path)]
    return "".join(PIECES[label] for label in runs if label != BLANK).replace(MARK, " ")


def test_ctc_writes_a_phrase_exactly_where_its_best_path_is_within_the_budget() -> None:
    """Every path of five frames is tried; a recording that is the phrase and nothing else."""
    rng = np.random.default_rng(5)
    written = 0
    for _ in range(25):
        scores = 2.5 * rng.standard_normal((5, BLANK + 1))
        scores[:, 0] = -60  # one word
        total = np.logaddexp.reduce(scores, axis=1, keepdims=True)
        log_probs = (scores - total).astype(np.float32)
        top = log_probs.max(axis=1)
        costs = [
            float(sum(top[frame] - log_probs[frame, label] for frame, label in enumerate(path)))
            for path in itertools.product(range(BLANK + 1), repeat=5)
            if collapsed(path) == "аб"
        ]
        weight = float(rng.choice([0.5, 1.0, 2.0]))
        trie, _ = compiled((Phrase("аб", weight),), ALPHABET)
        budget = weight * (FLAT + 2 * PER_LETTER)
        plain, found = greedy(log_probs, BLANK), spotted(log_probs, BLANK, trie)
        if abs(min(costs) - budget) < 1e-3:
            continue
        steps = weight * (FLAT + PER_LETTER)  # what the first letter may cost
        if min(costs) < min(budget, steps):
            assert spelled(found) == "аб"
            written += found != plain
        elif min(costs) > budget:
            assert found == plain
    assert written > 2


def peaked(text: str, rivals: dict[int, tuple[str, float]]) -> Array:
    """Log probabilities that spell `text`, a blank after each; rivals are so many nats below."""
    probabilities = np.full((2 * len(text), BLANK + 1), 1e-6)
    for place, letter in enumerate(text):
        label = PIECES.index(letter.replace(" ", MARK))
        probabilities[2 * place, label] = 0.7
        probabilities[2 * place + 1, BLANK] = 0.99
        if place in rivals:
            other, below = rivals[place]
            rival = PIECES.index(other.replace(" ", MARK)) if other else BLANK
            probabilities[2 * place, rival] = 0.7 * np.exp(-below)
    peaks: Array = np.log(probabilities).astype(np.float32)
    return peaks


@pytest.mark.parametrize(
    ("said", "rivals", "phrases", "written"),
    [
        ("бав", {2: ("б", 1.5)}, ["баб"], "баб"),
        ("бав", {2: ("б", 9.0)}, ["баб"], "бав"),  # too unlikely
        ("бав", {2: ("б", 9.0)}, ["баб^3"], "баб"),  # a weight pays it
        ("бав", {1: ("б", 1.0)}, ["бба"], "бав"),  # half a phrase leaves nothing (R4)
        ("бава", {2: ("б", 1.0)}, ["баб"], "бава"),  # inside a word
        ("бав", {2: ("б", 1.0)}, ["баб", "бав"], "бав"),  # the model's own is a phrase, too
        ("а бав в", {4: ("б", 1.0)}, ["а баб"], "а баб в"),  # two words
        ("а бав в", {4: ("б", 1.0)}, ["баб"], "а баб в"),  # in the middle
        ("аб вв", {2: ("", 1.0)}, ["абвв"], "абвв"),  # no space
        ("бав", {}, [], "бав"),
    ],
)
def test_ctc_keeps_the_rules(
    said: str, rivals: dict[int, tuple[str, float]], phrases: list[str], written: str
) -> None:
    """Whole words alone, once, within the budget; probabilities are the network's own (R7)."""
    log_probs = peaked(said, rivals)
    trie, report = compiled(listed(phrases), ALPHABET)
    assert not report.refused
    found = spotted(log_probs, BLANK, trie)
    assert spelled(found) == written
    assert spelled(greedy(log_probs, BLANK)) == said
    for emission in found:
        assert emission.logprob == log_probs[emission.frame, emission.label]


@pytest.fixture(scope="module")
def noisy() -> io.BytesIO:
    """The golden clip under white noise of its own level: both heads misspell some words."""
    with (GOLDEN / "clip.flac").open("rb") as file:
        samples = np.concatenate(list(decode(file, max_seconds=100)))
    level = np.sqrt(np.mean(np.square(samples)))
    noisy = samples + level * np.random.default_rng(7).standard_normal(len(samples))
    made = io.BytesIO()
    with wave.open(made, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes((np.clip(noisy, -1, 1) * 32767).astype("<i2").tobytes())
    return made


def misses(text: str, words: list[str]) -> int:
    """How many of the words are not in a text."""
    return sum(word not in text.split() for word in words)


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_real_audio(head: str, noisy: io.BytesIO, recognizer: Callable[..., Recognizer]) -> None:
    """In noise, expected words are found; unrelated ones and an empty list change no byte."""
    engine = recognizer(head)
    text = (GOLDEN / "transcript.txt").read_text(encoding="utf-8")
    words = [word for word in dict.fromkeys(text.split()) if len(word) > 4]
    plain = engine.transcribe(noisy)
    helped = engine.transcribe(noisy, options=Options(phrases=listed(words)))
    assert misses(helped.text, words) <= misses(plain.text, words) - 2
    assert len(helped.text.split()) == len(plain.text.split())

    unrelated = engine.transcribe(noisy, options=Options(phrases=listed(UNRELATED)))
    assert unrelated.segments == plain.segments
    assert as_json(engine.transcribe(noisy, options=Options(phrases=()))) == as_json(plain)
    assert "phrases" not in as_data(plain)

    report = helped.phrases
    assert report is not None
    assert list(report.used) == words
    again = of_data(json.loads(as_json(helped)))
    assert again.phrases == report
    assert as_data(helped)["provenance"]["phrases"]["rules"] == 1
