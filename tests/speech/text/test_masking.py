"""Numbers of telephones, cards, passports: masked in words and digits, across pauses, turns."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.output.formats import FORMATS
from glagol.speech.text.writing import KEPT_MAX, Writer
from glagol.speech.types import (
    Coverage,
    Numbers,
    Options,
    Provenance,
    Segment,
    Transcript,
)
from speech.text.kept import plain, said, spelled

REDACT = Options(redact=True)
PHONE = "восемь девятьсот двадцать триста сорок пять шестьдесят семь восемьдесят девять"
EMPTY = Provenance("m", "1", {}, 1, "", "", "cpu", "1", None, None, "", None)


def segments(*texts: str) -> list[Segment]:
    """Texts one after another, with a pause of a second."""
    found, at = [], 0.0
    for text in texts:
        words = tuple(replace(w, start=w.start + at, end=w.end + at) for w in said(text))
        found.append(Segment(words[0].start, words[-1].end, text, words))
        at = words[-1].end + 1
    return found


def written(*texts: str, numbers: Numbers = "words") -> list[str]:
    """Texts with their numbers masked, pushed one by one."""
    writer = Writer(replace(REDACT, numbers=numbers))
    found = [each for one in segments(*texts) for each in writer.push([one], "ru")]
    found += writer.push([], "ru", last=True)
    return [segment.text for segment in found]


@pytest.mark.parametrize("numbers", ["words", "digits"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"мой телефон {PHONE} спасибо", "мой телефон [phone] спасибо"),
        (f"{PHONE}", "[phone]"),
        (f"плюс семь {PHONE.removeprefix('восемь ')}", "[phone]"),
        ("звоните 8 920 345-67-89, жду", "звоните [phone], жду"),
        ("+7(920)345-67-89 или 89203456789", "[phone] или [phone]"),
        ("телефон триста сорок пять шестьдесят семь восемьдесят девять", "телефон [phone]"),
        ("карта 4276 3800 1234 5678.", "карта [card]."),
        (" ".join(["карта", *(spelled(int(d)) for d in "4276380012345678")]), "карта [card]"),
        ("сорок два семьдесят шесть " * 4, "[card]"),
        ("паспорт 4508 123456 выдан", "паспорт [passport] выдан"),
        (
            "паспорт серия сорок пять ноль восемь номер сто двадцать три четыреста пятьдесят шесть",
            "паспорт серия [passport]",
        ),
        (
            "паспорт сорок пять ноль восемь сто двадцать три тысячи четыреста пятьдесят шесть",
            "паспорт [passport]",
        ),
    ],
)
def test_what_is_masked(text: str, expected: str, numbers: Numbers) -> None:
    assert written(text, numbers=numbers) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "к оплате девяносто две тысячи пятьсот сорок пять рублей",
        "двадцать первого марта две тысячи двадцать шестого года в девять тридцать",
        "12.05.2026 пришло 25 человек, 40% из них 2024-го года",
        "один два три четыре пять шесть семь восемь девять десять",
        "номер заказа двенадцать тысяч триста сорок пять",
    ],
)
def test_what_is_not(text: str) -> None:
    assert written(text) == [text]


def test_sentences_without_numbers_stay() -> None:
    sentences = plain()
    assert written(*sentences) == sentences


def test_pauses_and_turns_hide_nothing() -> None:
    """What follows is waited for: a number that begins in one segment ends in another."""
    texts = ["мой телефон восемь девятьсот двадцать", "триста сорок пять", "ага"]
    texts += ["шестьдесят семь восемьдесят девять", "спасибо за двадцать рублей"]
    writer = Writer(REDACT)
    given = [[s.text for s in writer.push([one], "ru")] for one in segments(*texts)]
    assert given[:4] == [[]] * 4
    assert given[4] == ["мой телефон [phone]", "[phone]", "ага", "[phone]", texts[4]]


def test_channels_are_read_apart_and_stay_in_order() -> None:
    texts = ("мой телефон восемь девятьсот двадцать", "слушаю вас", PHONE.partition(" триста ")[2])
    made = [replace(one, channel=at % 2) for at, one in enumerate(segments(*texts))]
    made[2] = segments("x x x", "триста " + texts[2])[1]
    made[2] = replace(made[2], channel=0)
    writer = Writer(REDACT)
    found = [each for one in made for each in writer.push([one], "ru")]
    found += writer.push([], "ru", last=True)
    assert [each.text for each in found] == ["мой телефон [phone]", "слушаю вас", "[phone]"]
    assert [each.channel for each in found] == [0, 1, 0]


def test_numbers_without_an_end_are_not_kept_back_forever() -> None:
    writer = Writer(REDACT)
    kept = [writer.push([one], "ru") for one in segments(*["двадцать"] * (KEPT_MAX + 2))]
    assert [len(each) for each in kept] == [0] * KEPT_MAX + [KEPT_MAX + 1, 0]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 999), min_size=11, max_size=16),
    st.lists(st.integers(1, 4), min_size=16, max_size=16),
)
def test_however_it_is_grouped_and_paused_no_digit_is_left(
    groups: list[int], sizes: list[int]
) -> None:
    """Eleven groups and more, in words, in segments of any size."""
    texts: list[str] = []
    at = 0
    while at < len(groups):
        part = groups[at : at + sizes[len(texts)]]
        texts.append(" ".join(spelled(group) for group in part))
        at += len(part)
    found = written("мой номер", *texts, "спасибо")
    assert found[1:-1] in (["[card]"] * len(texts), ["[phone]"] * len(texts), texts)
    assert found[1:-1] != texts or {b - a for a, b in pairwise(groups)} <= {1}


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "rttm"])
def test_no_format_has_the_number(form: str) -> None:
    """In text, words and subtitles, spoken and in digits."""
    made = Writer(replace(REDACT, numbers="digits"))
    found = tuple(
        made.push(segments(f"телефон {PHONE}", "карта 4276 3800 1234 5678"), "ru", last=True)
    )
    text = " ".join(segment.text for segment in found)
    data = FORMATS[form].write(Transcript(text, found, 20.0, "ru", Coverage(20.0, 0.0), EMPTY))
    shown = data.decode(errors="replace").replace("\\", "")
    assert "[phone]" in shown
    assert "[card]" in shown
    for secret in ("девятьсот", "шестьдесят", "920", "345", "4276", "5678"):
        assert secret not in shown, secret
