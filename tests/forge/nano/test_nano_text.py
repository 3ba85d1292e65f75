"""Text of gigaam-nano: numbers in words, ё put back, the hold-out rule."""

from pathlib import Path

import pytest

pytest.importorskip("num2words")

from glagol.forge.nano.seeds import stream
from glagol.forge.nano.text import pools, templates
from glagol.forge.nano.text.cleaning import Sentence, clean, held_out, split_sentences, unique
from glagol.forge.nano.text.dictionary import Dictionary
from glagol.forge.nano.text.spoken import genitive_day, number_sentence, plural

AFFIXES = "SFX A Y 2\nSFX A 0 а [лк]\nSFX A а ы а\n"
WORDS = "9\nёж\nи\nдва\nстол/A\nкот/A\nмама/A\nвесёлый\nспит\nрядом\n"


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    (tmp_path / "x.aff").write_text(AFFIXES, encoding="utf-8")
    (tmp_path / "x.dic").write_text(WORDS, encoding="utf-8")
    return Dictionary(tmp_path / "x.aff", tmp_path / "x.dic")


def test_clean_speaks_numbers_and_keeps_letters_only(dictionary: Dictionary) -> None:
    found = clean("x", "«Мама и еж: 2 стола рядом!»", dictionary)
    assert found is not None
    assert found.target == "мама и ёж два стола рядом"
    assert found.spoken == "Мама и ёж: два стола рядом!"


@pytest.mark.parametrize(
    "raw",
    [
        "Мама file спит рядом",
        "Мама спит в 12:30 рядом",
        "СССР спит рядом весёлый",
        "кот",
        "ббббб спит рядом",
        "неведомы зверушки бродят неслышно",
        "см. стол рядом спит",
    ],
)
def test_clean_refuses_what_has_no_one_reading(dictionary: Dictionary, raw: str) -> None:
    assert clean("x", raw, dictionary) is None


def test_sentences_end_at_stops_and_long_ones_are_cut() -> None:
    assert list(split_sentences("Раз два. Три\nчетыре!\n\nПять")) == [
        "Раз два.",
        "Три четыре!",
        "Пять",
    ]
    long = "а" * 70 + "; " + "б" * 70
    assert list(split_sentences(long)) == ["а" * 70, "б" * 70]


def test_unique_keeps_the_first_of_each_target() -> None:
    first, second = Sentence("a", "Да, да", "да да"), Sentence("b", "да да", "да да")
    assert unique([first, None, second]) == [first]


def test_the_hold_out_rule_is_fixed_and_small() -> None:
    texts = [f"предложение {number_sentence(stream(1, 'x', i))}" for i in range(4000)]
    share = sum(map(held_out, texts)) / len(texts)
    assert 0.02 < share < 0.04
    assert [held_out(text) for text in texts] == [held_out(text) for text in texts]


def test_training_and_tests_share_no_text() -> None:
    draw = stream(3, "x")
    numbers = unique(Sentence("number", s, s) for s in (number_sentence(draw) for _ in range(3000)))
    twins = [Sentence("aphorism", word, word) for word in ("ещё", "еще")]
    meetings = [Sentence("meeting", "повестка", "повестка")]
    held, trained = (
        next(s for s in numbers if held_out(s.target) is wanted) for wanted in (True, False)
    )
    train, test = pools.split_pools({"number": numbers, "aphorism": twins, "meeting": meetings})
    assert trained in train
    assert held in test
    assert meetings[0] in test
    folded = [{s.target.replace("ё", "е") for s in part} for part in (train, test)]
    assert not folded[0] & folded[1]


def test_templates_fill_every_slot_and_meetings_stand_apart() -> None:
    draw = stream(5, "x")
    for template in (*templates.EVERYDAY, *templates.STORIES, *templates.MEETINGS):
        text = templates.fill(template, draw)
        assert "{" not in text
        assert text[0].isupper()
    trained = set(templates.EVERYDAY) | set(templates.STORIES)
    assert not trained & set(templates.MEETINGS)


def test_russian_numbers_agree() -> None:
    forms = ("рубль", "рубля", "рублей")
    assert [plural(n, *forms) for n in (1, 2, 5, 11, 14, 21, 112)] == [
        "рубль",
        "рубля",
        "рублей",
        "рублей",
        "рублей",
        "рубль",
        "рублей",
    ]
    assert genitive_day(3) == "третьего"
    assert genitive_day(23) == "двадцать третьего"
    assert genitive_day(16) == "шестнадцатого"
