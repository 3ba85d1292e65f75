"""Words take the speaker of the largest overlap; islands join; segments end at changes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from glagol.speech.speakers.types import Spoken
from glagol.speech.speakers.words import attributed
from glagol.speech.types import Segment, Word, text_of


def words(*spans: tuple[float, float]) -> tuple[Word, ...]:
    return tuple(Word(a, b, f"w{at}", 0.9) for at, (a, b) in enumerate(spans))


def segment(*spans: tuple[float, float]) -> Segment:
    found = words(*spans)
    return Segment(found[0].start, found[-1].end, text_of(found), found)


def names(segments: tuple[Segment, ...]) -> list[str | None]:
    return [word.speaker for each in segments for word in each.words]


def test_the_whole_span_decides_and_not_its_middle() -> None:
    """A short turn at the edge of a long word loses; the larger part wins."""
    turns = [Spoken(0.0, 1.0, "S1"), Spoken(1.0, 3.0, "S2")]
    found = attributed([segment((0.2, 0.9), (0.9, 1.4), (1.4, 2.8))], turns)
    assert names(found) == ["S1", "S2", "S2"]
    assert [(each.start, each.end, each.text, each.speaker) for each in found] == [
        (0.2, 0.9, "w0", "S1"),
        (0.9, 2.8, "w1 w2", "S2"),
    ]


def test_a_short_island_joins_unless_its_turn_is_clear() -> None:
    """A word half covered by another's turn joins its neighbours; one covered whole stays."""
    spans = [(0.0, 0.5), (0.5, 1.0), (1.0, 1.4), (1.4, 2.0)]
    vague = [Spoken(0.0, 1.15, "S1"), Spoken(1.12, 1.45, "S2"), Spoken(1.4, 2.0, "S1")]
    clear = [Spoken(0.0, 1.0, "S1"), Spoken(1.0, 1.4, "S2"), Spoken(1.4, 2.0, "S1")]
    assert names(attributed([segment(*spans)], vague)) == ["S1"] * 4
    assert names(attributed([segment(*spans)], clear)) == ["S1", "S1", "S2", "S1"]


def test_a_word_outside_all_turns_takes_the_nearest() -> None:
    """Voice detection and segmentation do not agree to the frame."""
    turns = [Spoken(0.0, 1.0, "S1"), Spoken(5.0, 6.0, "S2")]
    assert names(attributed([segment((1.2, 1.4), (4.5, 4.9))], turns)) == ["S1", "S2"]


def test_a_segment_without_words_is_taken_whole() -> None:
    """Some engines give no times of words."""
    turns = [Spoken(0.0, 1.0, "S1"), Spoken(1.0, 6.0, "S2")]
    found = attributed([Segment(0.5, 4.0, "да и нет")], turns)
    assert [each.speaker for each in found] == ["S2"]


def test_without_turns_no_speaker_is_named() -> None:
    """Music: the segments are as they were."""
    plain = segment((0.0, 1.0))
    assert attributed([plain], []) == (plain,)


@given(
    st.lists(st.floats(0.0, 30.0), min_size=2, max_size=40, unique=True),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 9), st.integers(1, 4)), min_size=1),
)
def test_words_stay_as_they_were(edges: list[float], said: list[tuple[float, float, int]]) -> None:
    """Every word once, in order, with a speaker of a turn; neighbouring segments differ."""
    edges = sorted(edges)
    whole = segment(*pairwise(edges))
    turns = sorted((Spoken(a, a + n, f"S{number}") for a, n, number in said), key=lambda t: t.start)
    found = attributed([whole], turns)
    assert [(w.start, w.end, w.text) for each in found for w in each.words] == [
        (w.start, w.end, w.text) for w in whole.words
    ]
    assert set(names(found)) <= {turn.speaker for turn in turns}
    assert all(a.speaker != b.speaker for a, b in pairwise(found))
    assert all({w.speaker for w in each.words} == {each.speaker} for each in found)
