"""Tokens to words, words across seams, words to segments."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.engines.gigaam.vocabulary import Vocabulary
from glagol.speech.engines.gigaam.words import words_of
from glagol.speech.segmentation.overlap import after, before, seam_of
from glagol.speech.segmentation.segments import LONGEST_S, PAUSE_S, SegmentStream
from glagol.speech.types import Segment, Token, Word

CHARACTERS = Vocabulary("characters", tuple(" абвгд"), 6)
PIECES = Vocabulary("sentencepiece", ("▁а", "б", "▁", ".", "<0xD0>", "<0xB6>"), 6)


def tokens(*pairs: tuple[str, int], logprob: float = -0.5) -> list[Token]:
    return [Token(piece, frame, logprob) for piece, frame in pairs]


def test_characters_split_at_spaces() -> None:
    found = words_of(
        tokens(("а", 2), ("б", 4), (" ", 5), ("в", 9)), CHARACTERS, start=10.0, frame_s=0.04
    )
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in found] == [
        ("аб", 10.08, 10.2),
        ("в", 10.36, 10.4),
    ]


def test_pieces_split_at_their_marks_and_keep_signs_and_bytes() -> None:
    found = words_of(
        tokens(("▁а", 0), ("б", 1), (".", 5), ("▁", 7), ("<0xD0>", 8), ("<0xB6>", 9), ("▁", 11)),
        PIECES,
        start=0.0,
        frame_s=0.04,
    )
    assert [w.text for w in found] == ["аб.", "ж"]
    assert found[0].end == pytest.approx(0.24)
    assert found[1].start == pytest.approx(0.28)


def test_confidence_is_the_geometric_mean() -> None:
    found = words_of(
        [Token("а", 0, math.log(0.9)), Token("б", 1, math.log(0.4))],
        CHARACTERS,
        start=0.0,
        frame_s=0.04,
    )
    assert found[0].confidence == pytest.approx(math.sqrt(0.36))


def test_no_tokens_no_words() -> None:
    assert words_of([], CHARACTERS, start=0.0, frame_s=0.04) == []
    assert words_of(tokens((" ", 3)), CHARACTERS, start=0.0, frame_s=0.04) == []


def word(text: str, start: float, end: float) -> Word:
    return Word(start, end, text, 1.0)


@st.composite
def spoken_words(draw: st.DrawFn) -> list[Word]:
    """Words of 0.16 to 0.8 s around a cut at 10 s, gaps from nothing to half a second."""
    at = 8.0
    words = []
    while at < 12.0:
        at += draw(st.floats(0.04, 0.5))
        end = at + draw(st.floats(0.16, 0.8))
        words.append(word(draw(st.sampled_from(["да", "и", "нет", "вот"])), at, end))
        at = end
    return words


@settings(max_examples=60, deadline=None)
@given(spoken_words(), st.data())
def test_two_hearings_of_the_same_words_give_each_once(
    words: list[Word], data: st.DataObject
) -> None:
    cut, lead = 10.0, 1.0
    jitter = [data.draw(st.sampled_from([-0.04, 0.0, 0.04])) for _ in words]
    left = [w for w in words if w.end <= cut + lead]
    right = [
        word(w.text, w.start + j, w.end + j)
        for w, j in zip(words, jitter, strict=True)
        if w.start >= cut - lead
    ]
    seam = seam_of(left, cut, lead)
    kept = before(left, seam)
    joined = kept + after(right, seam, kept[-1] if kept else None)
    reachable = [w for w in words if w.end <= cut + lead or w.start >= cut - lead]
    assert [w.text for w in joined] == [w.text for w in reachable]


def test_the_seam_prefers_the_clear_boundary() -> None:
    words = [word("раз", 9.5, 9.8), word("два", 9.84, 9.95), word("три", 10.4, 10.9)]
    assert 9.95 < seam_of(words, 10.0, 1.0) < 10.4


def test_a_word_on_the_seam_is_not_said_twice() -> None:
    kept = [word("по", 9.0, 9.4), word("парку", 9.5, 10.1)]
    right = [word("парку", 9.62, 10.2), word("да", 10.4, 10.6)]
    assert [w.text for w in after(right, 9.85, kept[-1])] == ["да"]
    again = [word("да", 10.4, 10.6), word("да", 10.9, 11.1)]  # said twice, kept twice
    assert after(again, 10.3, word("да", 9.9, 10.2)) == again


def segmented(words: list[Word], block: int = 3) -> list[Segment]:
    stream = SegmentStream()
    segments = []
    for first in range(0, len(words), block):
        segments += stream.push(words[first : first + block])
    return segments + stream.finish()


def test_a_pause_ends_a_segment() -> None:
    words = [word("раз", 0.0, 0.5), word("два", 0.6, 1.0), word("три", 1.0 + PAUSE_S, 2.5)]
    segments = segmented(words)
    assert [(s.text, s.start, s.end) for s in segments] == [
        ("раз два", 0.0, 1.0),
        ("три", 1.8, 2.5),
    ]


@given(
    st.lists(
        st.tuples(st.floats(-0.05, 1.5), st.floats(0.0, 1.2), st.floats(0.0, 1.0)), max_size=80
    ),
    st.integers(1, 9),
)
def test_segments_hold_every_word_in_order(
    steps: list[tuple[float, float, float]], block: int
) -> None:
    at = 0.0
    words = []
    for number, (gap, length, confidence) in enumerate(steps):
        start = max(0.0, at + gap)
        at = start + length
        words.append(Word(start, at, f"с{number}", confidence))
    segments = segmented(words, block)
    shown = [w for segment in segments for w in segment.words]
    assert [w.text for w in shown] == [w.text for w in words]
    assert segments == segmented(words, 1_000)
    for segment in segments:
        assert segment.text == " ".join(w.text for w in segment.words)
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert segment.end - segment.start <= LONGEST_S + 1.2
    for left, right in pairwise(shown):
        assert left.start <= left.end <= right.start <= right.end
    for w in shown:
        assert (w.start, w.end) == (round(w.start, 3), round(w.end, 3))
