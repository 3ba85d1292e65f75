"""Any way to name a language means that language, and no other one is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import InputError
from glagol.speech.engines.base import Traits
from glagol.speech.language import matched
from glagol.speech.pipeline.options import granted
from glagol.speech.types import Options

MANY = ("en", "zh", "de", "es", "ru", "fr", "uk", "pt", "no", "he", "be", "jw", "yue", "tl", "el")
CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])


@given(
    st.sampled_from(["ru", "ru-RU", "ru_RU", "ru_RU.UTF-8", "rus", "ru-Cyrl-RU", "russian"]),
    CASES,
    st.sampled_from(["", " ", "\t"]),
)
def test_russian_is_russian(text: str, case: object, space: str) -> None:
    """In any case, with spaces around, for an engine of one language and of many."""
    assert callable(case)
    asked = space + case(text) + space
    assert matched(asked, ("ru",)) == matched(asked, MANY) == "ru"


@pytest.mark.parametrize(
    ("asked", "means"),
    [
        ("en-GB", "en"), ("eng", "en"), ("English", "en"), ("zh-Hant-TW", "zh"), ("cmn", "zh"),
        ("Mandarin", "zh"), ("zh-yue", "yue"), ("Cantonese", "yue"), ("iw", "he"), ("nb-NO", "no"),
        ("Norwegian Bokmål", "no"), ("jv", "jw"), ("javanese", "jw"), ("fil", "tl"),
        ("Greek", "el"), ("Modern Greek", "el"), ("gre", "el"), ("castilian", "es"),
        ("pt-BR", "pt"), ("be-tarask", "be"),
    ],
)  # fmt: skip
def test_others_are_what_they_are(asked: str, means: str) -> None:
    """Old codes, scripts, regions, macrolanguages and second names."""
    assert matched(asked, MANY) == means
    assert matched(asked, ("ru",)) is None


@pytest.mark.parametrize("asked", ["xx", "ру", "русский", "x-ru", "-", "ru-", "ru--RU", "r" * 99])
def test_what_is_no_language_is_none(asked: str) -> None:
    """Nor is a neighbour of Russian Russian."""
    assert matched(asked, ("ru",)) is None
    assert all(matched(near, ("ru",)) is None for near in ("uk", "be", "bg", "Ukrainian", "mul"))


@pytest.mark.parametrize("asked", ["", " ", "auto", "AUTO", "und"])
def test_nothing_leaves_it_to_the_engine(asked: str) -> None:
    """Its only language, its first one, or what it detects."""
    engines = {
        "ru": Traits(25.0, ("ru",)),
        "en": Traits(30.0, MANY),
        "auto": Traits(30.0, MANY, detects_language=True),
    }
    for means, traits in engines.items():
        assert granted(Options(asked), "m", traits).language == means


def test_an_engine_of_any_language_gets_the_usual_spelling() -> None:
    """A family that names no languages is asked in BCP 47's own letters."""
    usual = {"RU_ru": "ru-RU", "SRP-latn": "sr-Latn", "Thai": "th"}
    assert {text: matched(text, ()) for text in usual} == usual


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options("en"), "does not know the language 'en'"),
        (Options(prompt="Екатерина"), "does not take this prompt"),
        (Options(temperature=0.3), "does not take this temperature"),
    ],
)
def test_what_an_engine_lacks_is_named(options: Options, words: str) -> None:
    """By the pipeline, for callers that did not ask before."""
    with pytest.raises(InputError, match=words) as caught:
        granted(options, "m", Traits(25.0, ("ru",)))
    assert caught.value.code == "option_invalid"
