"""The kept questions: enough of each kind, answered by a turn, half of them in other words."""

from __future__ import annotations

from collections import Counter

import pytest

from glagol.rag.words import stems
from rag.evaluation import corpus
from rag.evaluation.measures import measured

EACH, TURNS, QUESTIONS = 25, 1000, 200
ASKING = set(
    stems(
        "who а без было в во где для до его есть из или их за и к как какая какие какое какой когда"
        " какого каким кем кого кому кто куда ли на над не о об от откуда по под почему при про"
        " раз с со сколько скольких там у чего чем через что это after are did does for has how"
        " in is long many much of the this to was were what when which why"
    )
)


def test_the_set_is_large_enough_and_its_questions_have_answers() -> None:
    """Turns, questions of each kind, and every answer is one of the turns."""
    kept = corpus.load()
    places = {(each.id, n) for each in kept.recordings for n in range(len(each.turns))}
    kinds = Counter(each.kind for each in kept.questions)
    assert len(places) >= TURNS
    assert len(kept.questions) == len({each.text for each in kept.questions}) >= QUESTIONS
    assert set(kinds) == set(corpus.KINDS)
    assert min(kinds.values()) >= EACH
    for question in kept.questions:
        assert question.gold <= places
        assert bool(question.gold) == (question.kind != corpus.UNANSWERABLE)
    assert len({each.id for each in kept.recordings}) == len(kept.recordings)
    assert kept == corpus.load()


def test_half_of_the_questions_use_other_words() -> None:
    """At most one stem of the question, and at most half of them, stands in an answer."""
    kept = corpus.load()
    turns = {(each.id, n): turn for each in kept.recordings for n, turn in enumerate(each.turns)}
    other = 0
    for question in kept.questions:
        asked = set(stems(question.text)) - ASKING
        said = {
            word
            for place in question.gold
            for word in stems(f"{turns[place].speaker} {turns[place].text}")
        }
        shared = len(asked & said)
        other += bool(question.gold) and shared <= 1 and 2 * shared <= len(asked)
    assert 2 * other >= len(kept.questions)


def test_measures_are_those_of_the_books() -> None:
    """By hand: a hit at place 2 of one, two of two, none."""
    assert measured(["b", "a"], {"a"}) == pytest.approx((0, 1, 1, 0.5, 0.6309), abs=1e-4)
    assert measured(["a", "b", "c"], {"a", "b"}) == pytest.approx((1, 1, 1, 1, 1))
    assert measured([], {"a"}) == (0, 0, 0, 0, 0)
