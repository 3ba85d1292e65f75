"""Any transcript, any counter, any limit: every segment in one piece, no prompt over the limit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import LimitError
from glagol.llm.summarize.chunking import Limits, Piece, Segment, counted, cut, from_text, halves

Count = Callable[[str], int]
HEAD = "say what matters"
TEXTS = st.text(alphabet="аб вг.!\nxy ", min_size=0, max_size=60)


def render(piece: Piece) -> str:
    """A prompt as a test sees it."""
    lines = [f"({segment.text})" for segment in piece.context]
    lines += [f"[{segment.id}] {segment.text}" for segment in piece.owned]
    return "\n".join([HEAD, *lines])


COUNTERS: dict[str, Count] = {
    "characters": len,
    "bytes": lambda text: len(text.encode()),
    "words": lambda text: len(text.split()),
    "some a token": lambda text: math.ceil(len(text) / 3.7),
    "not additive": lambda text: len(text) + 3 * text.count("а") - text.count("[") // 2,
}


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[Segment, ...]:
    """Up to 40 segments of two speakers, some empty, some long."""
    texts = draw(st.lists(TEXTS, max_size=40))
    return tuple(
        Segment(f"s{n}", text, float(n), n + 1.0, draw(st.sampled_from(["", "A", "B"])))
        for n, text in enumerate(texts, 1)
    )


def original(name: str) -> str:
    """The id of the segment that a part was cut from."""
    return name.partition(".")[0]


@settings(max_examples=150, deadline=None)
@given(transcripts(), st.sampled_from(sorted(COUNTERS)), st.integers(1, 300), st.integers(0, 100))
def test_pieces_cover_everything_once(
    segments: tuple[Segment, ...], counter: str, limit: int, context: int
) -> None:
    """Each id once, in order, nothing lost, no prompt over the limit; or the limit is hopeless."""
    count = COUNTERS[counter]
    try:
        pieces = counted(cut(segments, render, Limits(limit, context)), count)
    except LimitError:
        hopeless = [s for s in segments if count(render(Piece((s,)))) > limit]
        assert hopeless, "some segment must be too long even alone"
        assert any(
            count(render(Piece((Segment(f"{s.id}.9", letter),)))) > limit - 9
            for s in hopeless
            for letter in s.text or " "
        )
        return
    assert all(count(render(piece)) <= limit for piece in pieces)
    owned = [segment for piece in pieces for segment in piece.owned]
    assert len({segment.id for segment in owned}) == len(owned)
    assert "".join(s.text for s in owned) == "".join(s.text for s in segments)
    order = [segment.id for segment in segments]
    places = [order.index(original(segment.id)) for segment in owned]
    assert places == sorted(places)
    assert set(places) == set(range(len(segments)))
    for part in owned:
        whole = segments[order.index(original(part.id))]
        assert (part.start, part.end, part.speaker) == (whole.start, whole.end, whole.speaker)
        assert part.id == whole.id or part.text != whole.text


@settings(max_examples=60, deadline=None)
@given(transcripts(), st.integers(60, 400), st.integers(0, 120))
def test_context_is_what_came_just_before(
    segments: tuple[Segment, ...], limit: int, context: int
) -> None:
    """Context is the unbroken end of earlier pieces, within its limit, and owned by another."""
    pieces = counted(cut(segments, render, Limits(limit, context)), len)
    seen: list[Segment] = []
    for piece in pieces:
        length = len(piece.context)
        assert piece.context == tuple(seen[len(seen) - length :])
        assert sum(len(segment.text) for segment in piece.context) <= context
        seen += piece.owned


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_lines_of_a_text_are_segments(text: str) -> None:
    """Joined they are the text; none is blank unless all is."""
    segments = from_text(text)
    assert "".join(segment.text for segment in segments) == text
    assert all(segment.text.strip() for segment in segments[1:])


@settings(max_examples=80, deadline=None)
@given(transcripts())
def test_halves_share_what_a_piece_owned(segments: tuple[Segment, ...]) -> None:
    """Nothing lost and no id twice, however often a piece is halved."""
    if not segments:
        return
    todo, done = [Piece(segments)], []
    while todo:
        piece = todo.pop()
        parts = halves(piece)
        if parts is None:
            done.append(piece)
        else:
            assert all(part.owned for part in parts)
            todo += reversed(parts)
    owned = [segment for piece in done for segment in piece.owned]
    assert "".join(s.text for s in owned) == "".join(s.text for s in segments)
    assert len({segment.id for segment in owned}) == len(owned)


def test_context_begins_with_a_turn() -> None:
    """Half of a turn is worth less than the whole of a shorter turn."""
    said = [("A", "one"), ("A", "two"), ("B", "three"), ("B", "four"), ("A", "five")]
    segments = [Segment(f"s{n}", text, speaker=name) for n, (name, text) in enumerate(said)]
    limits = Limits(len(render(Piece(tuple(segments[:4])))), 13)
    pieces = counted(cut(segments, render, limits), len)
    assert [piece.ids for piece in pieces] == [("s0", "s1", "s2", "s3"), ("s4",)]
    assert [segment.text for segment in pieces[1].context] == ["three", "four"]


def test_a_long_segment_is_cut_between_sentences() -> None:
    """Sentences stay whole where they fit; a long word is cut inside."""
    text = "Один. Два три! Четыре? " + "пять" * 20
    limits = Limits(len(HEAD) + 35)
    pieces = counted(cut([Segment("s1", text)], render, limits), len)
    texts = [segment.text for piece in pieces for segment in piece.owned]
    assert texts[0] == "Один. Два три! Четыре? "
    assert all(len(render(piece)) <= limits.prompt_tokens for piece in pieces)
    assert [s.id for piece in pieces for s in piece.owned][:3] == ["s1.1", "s1.2", "s1.3"]


def test_few_prompts_are_counted() -> None:
    """Counting costs a call: a long transcript takes two or three for each piece."""
    segments = [Segment(f"s{n}", "слово " * (5 + n * n % 11)) for n in range(5000)]
    calls = 0

    def count(text: str) -> int:
        nonlocal calls
        calls += 1
        return len(text)

    pieces = counted(cut(segments, render, Limits(20_000)), count)
    assert 15 < len(pieces) < 20
    assert calls <= 3 * len(pieces)


def test_a_line_without_end_is_never_counted_whole() -> None:
    """A book on one line costs a few prompts for each piece, none of them long."""
    text = "Слово за слово. " * 12_000
    lengths: list[int] = []

    def count(prompt: str) -> int:
        lengths.append(len(prompt))
        return len(prompt) // 3

    limit = 3000
    pieces = counted(cut([Segment("s1", text)], render, Limits(limit)), count)
    assert "".join(s.text for piece in pieces for s in piece.owned) == text
    assert 20 < len(pieces) < 24
    assert len(lengths) <= 12 * len(pieces)
    assert max(lengths) <= 17 * limit


@pytest.mark.parametrize("limit", [1, len(HEAD) + 5])
def test_a_hopeless_limit_is_refused(limit: int) -> None:
    """The instructions alone take the prompt: said, not looped over."""
    with pytest.raises(LimitError) as caught:
        counted(cut([Segment("s1", "слово")], render, Limits(limit)), len)
    assert caught.value.code == "prompt_too_long"
