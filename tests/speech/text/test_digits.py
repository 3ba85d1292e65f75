"""Numbers in digits: the kept sets, properties of words and times, numbers there and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.text.digits import in_digits
from glagol.speech.text.lexicon import CARDINALS, MONTHS, ORDINALS, SCALES
from glagol.speech.types import text_of
from speech.text.kept import meant, phrases, plain, said, spelled, words_of, written

SOUP = sorted(
    {*CARDINALS, *SCALES, *ORDINALS, *MONTHS}
    | set(words_of("в до с от к на из без и или минус плюс рублей процентов часов минут утра года"))
    | set(
        words_of("целых десятых запятая половиной полтора дом номер телефон счётом раз лет слово")
    )
)


@pytest.mark.parametrize("name", ["open", "held"])
def test_kept_phrases_are_written_as_expected(name: str) -> None:
    found = {spoken: written(spoken) for spoken, _ in phrases(name)}
    assert found == dict(phrases(name))
    assert len(found) == 150


def test_sentences_without_numbers_do_not_change() -> None:
    """No word of a thousand sentences, in which words of numbers occur."""
    sentences = plain()
    assert len(sentences) == 1000
    assert [written(sentence) for sentence in sentences] == sentences


@settings(max_examples=200)
@given(st.integers(0, 999_999_999))
def test_a_number_in_words_is_that_number_in_digits(value: int) -> None:
    words = said(f"{spelled(value)} рублей")
    assert meant(text_of(in_digits(words))) == value


def test_small_numbers_and_thousands_come_back() -> None:
    for value in [*range(0, 1000, 3), *range(1000, 1_000_000, 9973)]:
        assert meant(text_of(in_digits(said(f"{spelled(value)} рублей")))) == value


@settings(max_examples=100)
@given(st.lists(st.sampled_from(SOUP), max_size=14))
def test_whatever_is_said_words_and_times_are_kept(soup: list[str]) -> None:
    """All is there once: as it was, or in what stands for it; times never run back."""
    words = said(" ".join(soup))
    found = in_digits(words)
    assert " ".join(word.spoken or word.text for word in found) == text_of(words)
    by_start = {word.start: word for word in words}
    by_end = {word.end: word for word in words}
    for word in found:
        assert word.start in by_start
        assert word.end in by_end
        assert word.spoken is not None or word == by_start[word.start]
    edges = [edge for word in found for edge in (word.start, word.end)]
    assert edges == sorted(edges)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(SOUP), max_size=14))
def test_a_second_time_changes_nothing(soup: list[str]) -> None:
    once = in_digits(said(" ".join(soup)))
    assert in_digits(once) == once


def test_what_a_number_is_made_of() -> None:
    """The first start, the last end, the least sure word, and what was said."""
    words = said("ровно сто двадцать три рубля")
    found = in_digits(words)
    assert [word.text for word in found] == ["ровно", "123", "рубля"]
    assert (found[1].start, found[1].end) == (words[1].start, words[3].end)
    assert found[1].confidence == min(word.confidence for word in words[1:4])
    assert found[1].spoken == "сто двадцать три"
    assert (found[0], found[2]) == (words[0], words[4])


def test_punctuation_stays_and_ends_a_number() -> None:
    assert written("Двадцать пять, сто.") == "25, 100."
    assert written("(двадцать пять)") == "(25)"
    assert written("Осталось сто, двадцать ушло") == "Осталось 100, 20 ушло"


def test_no_number_is_said_by_two() -> None:
    """What one says ends where another begins."""
    found = in_digits(said("нас двадцать пять", speakers="AAB"))
    assert [word.text for word in found] == ["нас", "20", "пять"]


@pytest.mark.parametrize(
    "text",
    ["миллион триста", "пятью пять двадцать пять", "сорок одна десятая", "три двадцать пять"],
)
def test_what_may_mean_something_else_stays(text: str) -> None:
    assert written(text) == text


def test_what_is_counted_is_no_time() -> None:
    assert written("после двадцати тридцати лет") == "после 20-30 лет"
    assert written("после двадцати тридцати") == "после 20:30"
