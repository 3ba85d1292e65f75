"""What people ask of recordings and SQL answers: filters, counts, timelines, first, most, last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from glagol.core.errors import InputError
from glagol.rag.answers import asked
from glagol.rag.library import Library
from glagol.rag.meaning import Meaning
from glagol.rag.mentions import Facet
from glagol.rag.numbers import digits
from glagol.rag.router import routed
from glagol.rag.scope import Scope
from glagol.rag.turns import Recording, Turn, from_transcript
from glagol.rag.words import content, stems

EVERYTHING = Scope()
Open = Callable[[], Library]


def said(name: str, date: str, *turns: tuple[str, str], **about: Any) -> Recording:
    """A recording of speakers and texts, 10 s a turn."""
    made = tuple(
        Turn(10.0 * n, 10.0 * n + 8, speaker, n % 2, text, 0.5 + n / 10)
        for n, (speaker, text) in enumerate(turns)
    )
    return Recording(name, about.pop("owner", ""), "", name, date, made, **about)


@pytest.fixture
def filled(library: Open) -> Library:
    """Three recordings of three months."""
    opened = library()
    march = (
        ("Белова", "насос НЦ-40 подорожал"),
        ("Кравцов", "срок сорок пять дней"),
        ("Белова", "насосы берём в Казани"),
    )
    opened.put(said("a", "2026-03-12", *march, tags=("снабжение",)))
    april = (("Кравцов", "про насос забыли"), ("Жданова", "срок шестьдесят дней"))
    opened.put(said("b", "2026-04-01", *april, tags=("снабжение", "срочно")))
    opened.put(said("c", "2026-05-01", ("Жданова", "насоса НЦ-40 больше нет")))
    return opened


def test_counts_facets_and_timelines(filled: Library) -> None:
    """How often, by which speaker, where and when; an empty query counts every turn."""
    counts = filled.counted("насос", EVERYTHING, ("speaker", "month", "recording", "tag"))
    assert (counts.turns, counts.recordings, counts.speech_s) == (4, 3, 32.0)
    assert counts.facets["speaker"] == (
        Facet("Белова", 2, 1, 16.0), Facet("Жданова", 1, 1, 8.0), Facet("Кравцов", 1, 1, 8.0),
    )  # fmt: skip
    months = [(each.value, each.turns) for each in counts.facets["month"]]
    assert months == [("2026-03", 2), ("2026-04", 1), ("2026-05", 1)]
    assert [(each.value, each.turns) for each in counts.facets["tag"]] == [
        ("снабжение", 3), ("срочно", 1),
    ]  # fmt: skip
    assert filled.counted("", EVERYTHING).turns == 6
    assert filled.counted("насос", Scope(owners=("other",)), ("speaker",)).facets["speaker"] == ()
    assert filled.counted("единорог", EVERYTHING).speech_s == 0
    with pytest.raises(InputError, match="no facet 'colour'"):
        filled.counted("", EVERYTHING, ("colour",))


def test_all_mentions_in_the_order_of_time(filled: Library) -> None:
    """First, last, exact names and numbers in both ways of writing."""

    def texts(query: str, order: Any = "first", scope: Scope = EVERYTHING) -> list[str]:
        return [hit.turn.text for hit in filled.mentions(query, scope, order)]

    assert texts("НЦ-40") == ["насос НЦ-40 подорожал", "насоса НЦ-40 больше нет"]
    assert texts("нц 40", "last")[0] == "насоса НЦ-40 больше нет"
    assert texts("45 дней") == texts('"сорок пять дней"') == ["срок сорок пять дней"]
    assert texts("НЦ-40", scope=Scope(since="2026-04-01")) == ["насоса НЦ-40 больше нет"]
    (hit,) = filled.mentions("45", EVERYTHING, "first")
    assert [turn.text for turn in hit.around][1] == "срок сорок пять дней"
    assert len(hit.around) == 3


FILTERS = [
    (Scope(tags=("срочно",)), "b"),
    (Scope(tags=("срочно", "снабжение")), "ab"),
    (Scope(tags=()), ""),
    (Scope(channels=(1,)), "ab"),
    (Scope(confidence=0.7), "a"),
    (Scope(speakers=("Жданова",), until="2026-04-30"), "b"),
    (Scope(recordings=("c",)), "c"),
]


@pytest.mark.parametrize(("scope", "names"), FILTERS, ids=str)
def test_filters_hold_on_every_way(filled: Library, scope: Scope, names: str) -> None:
    """Meaning, words and counts see the same turns."""
    near = filled.turns(filled.by_meaning("насос срок дней", scope, 50), EVERYTHING)
    assert {turn.recording for turn in near} == set(names)
    counted = filled.counted("", scope, ("recording",)).facets["recording"]
    assert {each.value for each in counted} == set(names)
    assert {hit.turn.recording for hit in filled.search("насос срок", scope, 50)} == set(names)


QUESTIONS = [
    ("сколько раз упоминали насос?", "Упоминаний: 4, записей: 3.", 4),
    ("how many times was mentioned НЦ-40", "Упоминаний: 2, записей: 2.", 2),
    ("кто чаще всего говорил про насос?", "Белова: 2; Жданова: 1; Кравцов: 1.", 4),
    ("кто больше всех говорил?", "Белова: 2; Жданова: 2; Кравцов: 2.", 6),
    ("кто первым сказал про срок?", "срок сорок пять дней", 1),
    ("последнее про НЦ-40", "насоса НЦ-40 больше нет", 2),
]


@pytest.mark.parametrize(("question", "first", "hits"), QUESTIONS, ids=str)
def test_counting_questions_never_reach_a_model(
    filled: Library, question: str, first: str, hits: int
) -> None:
    """The answer is from SQL, with its mentions as citations, although there is a model."""

    def talk(*_: str) -> str:
        raise AssertionError

    answer = asked(filled, question, EVERYTHING, talk=talk)
    assert (answer.found, answer.by_model, len(answer.hits)) == (True, False, hits)
    assert answer.sentences[0].text == first
    assert answer.sentences[0].citations[0] == 1
    assert answer.sentences[0].supported


def test_other_questions_go_to_search() -> None:
    """Words that only look like a count; nothing to count."""
    for question in (
        "сколько раз в день пить таблетки?", "кто сказал про бюджет?", "сколько раз упоминали?",
        "what did they say", "последнее",
    ):  # fmt: skip
        assert routed(question).kind == "search"


def test_far_hits_are_no_answer(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a model and with a known level: quotes above it, "not in the recordings" below."""
    for level, found in ((-1.0, True), (2.0, False)):
        monkeypatch.setattr(Meaning, "level", level)
        answer = asked(filled, "что с насосом?", EVERYTHING)
        assert (answer.found, bool(answer.sentences), bool(answer.hits)) == (found, found, True)
    assert asked(filled, '"НЦ-40"', EVERYTHING).found  # an exact match needs no level


def test_one_frequent_word_is_no_hit_by_words(filled: Library) -> None:
    """A turn must hold a third of what a query is about; function words are not about a thing."""
    assert filled.by_words("насос единорог дирижабль патефон", EVERYTHING, 10) == []
    assert filled.by_words("больше чем про", EVERYTHING, 10)
    assert content("что мы решили про насос") == ["реш", "насос"]
    assert content("что и как") == ["что", "и", "как"]


NUMBERS = [
    ("двадцать пять тысяч", "25000"),
    ("семьдесят три восемнадцать", "73 18"),
    ("один миллион двести тысяч тридцать", "1200030"),
    ("800 тысяч", "800000"),
    ("три пять", "3 5"),
    ("десять два", "10 2"),
    ("сто десять", "110"),
    ("007 45 домов", "007 45 домов"),
    ("двадцать 5", "20 5"),
    ("пяти тысячам двухстам", "5200"),
    ("", ""),
]


@pytest.mark.parametrize(("words", "expected"), NUMBERS)
def test_numbers_in_words_are_digits(words: str, expected: str) -> None:
    """Cases, thousands, rows of numbers that are not one."""
    assert " ".join(digits(words.split())) == expected
    assert stems("Сорок пять, ЕЩЁ") == ["45", "ещ"]


def test_confidence_of_words_becomes_that_of_a_turn() -> None:
    """Weighted by words; None where a part has none."""
    first = {"text": "раз два", "words": [{"confidence": 0.5}, {"confidence": 0.7}]}
    second = {"text": "три", "words": [{"confidence": 0.9}]}
    found = from_transcript({"segments": [first, second]}, "r", tags=["б", "а", "б"])
    assert found.turns[0].confidence == pytest.approx(0.7)
    assert found.tags == ("а", "б")
    assert from_transcript({"segments": [first, {"text": "x"}]}, "r").turns[0].confidence is None
    assert found.digest != replace(found, tags=("а",)).digest
