"""gigaam-nano without torch or synthesisers: word forms, letters, error rates, evaluation."""

from pathlib import Path

import numpy as np
import pytest

from glagol.forge.nano.evaluate import evaluation
from glagol.forge.nano.evaluate.score import edit_distance, score
from glagol.forge.nano.speech.clips import Clip
from glagol.forge.nano.text.dictionary import Dictionary
from glagol.forge.nano.text.vocabulary import BLANK, collapse, decode, encode

AFFIXES = "SFX A Y 2\nSFX A 0 а [лк]\nSFX A а ы а\n"
WORDS = "9\nёж\nи\nдва\nстол/A\nкот/A\nмама/A\nвесёлый\nспит\nрядом\n"


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    (tmp_path / "x.aff").write_text(AFFIXES, encoding="utf-8")
    (tmp_path / "x.dic").write_text(WORDS, encoding="utf-8")
    return Dictionary(tmp_path / "x.aff", tmp_path / "x.dic")


def test_forms_follow_the_affix_rules(dictionary: Dictionary) -> None:
    assert "стола" in dictionary.forms
    assert "мамы" in dictionary.forms
    assert "кота" not in dictionary.forms, "the condition [лк] does not match т"


def test_yo_comes_back_where_the_spelling_is_certain(dictionary: Dictionary) -> None:
    assert dictionary.restore_yo("еж веселый, все") == "ёж весёлый, все"


def test_edit_distance_and_rates() -> None:
    assert edit_distance("кот", "кит") == 1
    assert edit_distance("", "кит") == 3
    assert edit_distance(["а", "б"], ["б"]) == 1
    found = score(["ещё один кот", "да"], ["еще один кит", "да"])
    assert (found.word_errors, found.words, found.letter_errors) == (1, 4, 1)
    assert found.wer == pytest.approx(25.0)
    with pytest.raises(ValueError, match="zip"):
        score(["да"], [])


def test_letters_and_classes_turn_into_each_other() -> None:
    assert decode(encode("ёж и я")) == "ёж и я"
    a, b = encode("а")[0], encode("б")[0]
    assert collapse([BLANK, a, a, BLANK, a, b, b, BLANK]) == "ааб"


def test_evaluate_gives_texts_back_in_the_order_of_the_clips() -> None:
    texts = ("раз два три", "мама мыла раму", "ёж", "сорок пять")
    sizes = [24000 + 640 * (7 * i % 20) for i in range(20)]
    clips = [Clip(np.ones(n, np.int16), "v", "p", texts[n % 4]) for n in sizes]
    by_length = {clip.samples: clip.text for clip in clips}
    found = evaluation.evaluate(lambda waves: [by_length[len(w)] for w in waves], clips)
    assert (found.clips, found.word_errors) == (20, 0)
