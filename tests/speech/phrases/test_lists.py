"""Lists of phrases: what is refused and why, spellings of a model, digests."""

from __future__ import annotations

import pytest

from glagol.core.errors import InputError
from glagol.speech.phrases.spelling import compiled, noticed, spellings
from glagol.speech.phrases.trie import MARK, Alphabet
from glagol.speech.phrases.types import (
    PHRASES_MAX,
    REMEDIES,
    Phrase,
    checked,
    listed,
    sha256_of,
)

LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
RUSSIAN = Alphabet([MARK, *LETTERS])


def test_lines_are_phrases_with_weights() -> None:
    """Comments and empty lines are none; a weight follows a caret."""
    lines = ["# names", "", " нижний  новгород ", "кот^2", "дом ^ 0.5", "a^b^1.5"]
    phrases = listed(lines)
    assert [(each.text, each.weight) for each in phrases] == [
        ("нижний  новгород", 1.0),
        ("кот", 2.0),
        ("дом", 0.5),
        ("a^b", 1.5),
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("^2", "phrase_empty"),
        ("...", "phrase_empty"),
        ("я", "phrase_too_short"),
        ("а" * 101, "phrase_too_long"),
        ("кот^0", "phrase_weight"),
        ("кот^99", "phrase_weight"),
        ("кот^-1", "phrase_weight"),
        ("кот^nan", "phrase_weight"),
        ("кот^много", "phrase_weight"),
        ("Нижний  Новгород", "phrase_repeated"),
        ("kubernetes", "phrase_letters"),
        ("дом 5", "phrase_letters"),
    ],
)
def test_a_wrong_phrase_is_refused_alone(line: str, code: str) -> None:
    """By its code, with a remedy; the others are used."""
    _, report = compiled(listed(["нижний новгород", line]), RUSSIAN)
    assert report.used == ("нижний новгород",)
    (refusal,) = report.refused
    assert (refusal.code, refusal.remedy) == (code, REMEDIES[code])
    assert refusal.message
    (notice,) = noticed(report)
    assert notice.code == "phrases_refused"
    assert code in notice.message
    assert line not in notice.message


def test_a_list_is_refused_when_it_is_too_long() -> None:
    """100,000 phrases cost nothing but the reading of the first ones."""
    lines = (f"слово {number}" for number in range(100_000))
    with pytest.raises(InputError) as caught:
        listed(lines)
    assert caught.value.code == "option_invalid"
    assert str(PHRASES_MAX) in caught.value.remedy
    assert next(lines) == f"слово {PHRASES_MAX + 1}"


def test_a_model_spells_as_it_can() -> None:
    """Small letters where it has no others, е beside ё, hyphens as spaces; capitals if it can."""
    small = frozenset(LETTERS)
    assert spellings("Санкт-Петербург", small) == ["санкт петербург"]
    assert spellings("Ёлка", small) == ["ёлка", "елка"]
    both = frozenset(LETTERS + LETTERS.upper())
    assert spellings("кот", both) == ["кот", "Кот"]
    assert spellings("ГОСТ", both) == ["ГОСТ", "гост"]


def test_pieces_walk_in_every_way() -> None:
    """A phrase is found however its characters are cut into pieces."""
    pieces = [MARK, "к", "о", "т", "ко", f"{MARK}к", "от", f"{MARK}кот", ""]
    alphabet = Alphabet(pieces)
    trie, _ = compiled((Phrase("кот"),), alphabet)
    label = {piece: number for number, piece in enumerate(pieces)}
    whole = trie.walk([label[f"{MARK}кот"]])
    assert whole is not None
    assert trie.budget[whole] > 0
    for way in ([MARK, "к", "о", "т"], [MARK, "ко", "т"], [f"{MARK}к", "от"], [MARK, "к", "от"]):
        assert trie.walk([label[piece] for piece in way]) == whole
    assert trie.walk([label["к"]]) is None  # no word begins there
    assert trie.walk([label[MARK], label["т"]]) is None


def test_the_digest_is_of_texts_weights_and_order() -> None:
    """Equal lists have equal digests, others others."""
    first, second = Phrase("кот"), Phrase("кот", 2.0)
    lists = [(first,), (second,), (first, Phrase("дом")), (Phrase("дом"), first)]
    assert len({sha256_of(each) for each in lists}) == len(lists)
    assert sha256_of((Phrase("кот"),)) == sha256_of((first,))
    assert len(checked(lists[2])[0]) == 2
