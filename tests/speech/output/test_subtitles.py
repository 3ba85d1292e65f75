"""Subtitle cues: every word once, in order, and within what a reader can follow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.output.subtitles import CUE_S_MAX, CUE_S_MIN, LINE_CHARACTERS, cues
from glagol.speech.types import Segment, Word

TEXTS = st.text("абвгде,.", min_size=1, max_size=14) | st.text("щ", min_size=40, max_size=50)
GAPS = st.floats(0.0, 0.1) | st.floats(0.0, 3.0)
SPOKEN = st.lists(st.tuples(GAPS, st.floats(0.0, 2.0), TEXTS), min_size=1, max_size=40)
TOLERANCE = 2e-3


def segments_of(spoken: list[list[tuple[float, float, str]]]) -> list[Segment]:
    """Words one after another, given as (pause before, length, text), in segments."""
    at, found = 0.0, []
    for part in spoken:
        words = []
        for gap, length, text in part:
            start = round(at + gap, 3)
            at = round(start + length, 3)
            words.append(Word(start, at, text, 1.0))
        text = " ".join(word.text for word in words)
        found.append(Segment(words[0].start, words[-1].end, text, tuple(words)))
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(SPOKEN, max_size=4), st.booleans())
def test_cues_can_be_read(spoken: list[list[tuple[float, float, str]]], timed: bool) -> None:
    """Words in order and once; 42 characters, two lines, 0.833 to 7 s, one cue at a time."""
    segments = segments_of(spoken)
    if not timed:
        segments = [Segment(s.start, s.end, s.text) for s in segments]
    found = cues(segments)
    words = [text for part in spoken for _, _, text in part]
    assert [word for cue in found for word in cue.text.split()] == words
    for cue in found:
        assert CUE_S_MIN - TOLERANCE <= cue.end - cue.start <= CUE_S_MAX + TOLERANCE
        lines = cue.text.split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= LINE_CHARACTERS or " " not in line for line in lines)
    for left, right in pairwise(found):
        assert left.end <= right.start


@settings(max_examples=100, deadline=None)
@given(st.lists(SPOKEN, min_size=1, max_size=3))
def test_cues_follow_the_voice(spoken: list[list[tuple[float, float, str]]]) -> None:
    """A cue starts with its first word, unless the one before had to stay its 0.833 s."""
    segments = segments_of(spoken)
    starts = iter([word.start for segment in segments for word in segment.words])
    edge = 0.0
    for cue in cues(segments):
        first, *_ = [next(starts) for _ in cue.text.split()]
        assert abs(cue.start - max(first, edge)) <= TOLERANCE
        edge = cue.end


def test_a_full_cue_ends_at_the_pause() -> None:
    """Not where the last word happened to fit."""
    texts = ["слово"] * 20
    gaps = [0.0] * 20
    gaps[9] = 0.3
    (segment,) = segments_of([[(gap, 0.2, text) for gap, text in zip(gaps, texts, strict=True)]])
    first, second = cues([segment])
    assert len(first.text.split()) == 9
    assert second.start == segment.words[9].start


def test_two_lines_are_even() -> None:
    """Neither a full first line nor a lone last word."""
    (cue,) = cues([Segment(0.0, 5.0, " ".join(["десятьбукв"] * 6))])
    assert cue.text == "\n".join(["десятьбукв десятьбукв десятьбукв"] * 2)
