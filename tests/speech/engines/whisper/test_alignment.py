"""Word times: the path through a map of attention, and words that are cut at spaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.engines.whisper.alignment import attention, median7, path, starts
from glagol.speech.engines.whisper.segments import Part
from glagol.speech.engines.whisper.vocabulary import Vocabulary
from glagol.speech.engines.whisper.words import groups_of, words_of
from glagol.speech.types import Array

PIECES = [bytes([value]) for value in range(256)]


def vocabulary(*more: str) -> Vocabulary:
    """All bytes, and these pieces from id 256 on."""
    pieces = (*PIECES, *(piece.encode() for piece in more))
    return Vocabulary(pieces, {piece: rank for rank, piece in enumerate(pieces)})


def reference(costs: Array) -> tuple[list[int], list[int]]:
    """Dynamic time warping cell by cell, as `whisper/timing.py` has it."""
    rows, columns = costs.shape
    best = np.full((rows + 1, columns + 1), np.inf)
    trace = np.zeros((rows + 1, columns + 1), int)
    best[0, 0] = 0
    for j in range(1, columns + 1):
        for i in range(1, rows + 1):
            c0, c1, c2 = best[i - 1, j - 1], best[i - 1, j], best[i, j - 1]
            if c0 < c1 and c0 < c2:
                least, trace[i, j] = c0, 0
            elif c1 < c0 and c1 < c2:
                least, trace[i, j] = c1, 1
            else:
                least, trace[i, j] = c2, 2
            best[i, j] = costs[i - 1, j - 1] + least
    i, j, cells = rows, columns, []
    while i > 0 or j > 0:
        cells.append((i - 1, j - 1))
        step = trace[i, j] if i and j else 2 if j else 1
        i, j = i - (step != 2), j - (step != 1)
    return [i for i, _ in cells[::-1]], [j for _, j in cells[::-1]]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_the_path_is_that_of_the_reference(rows: int, columns: int, seed: int) -> None:
    """On random maps; it begins in the first cell and ends in the last."""
    costs = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    found = path(costs)
    assert [list(axis) for axis in found] == list(reference(costs))
    onsets = starts(*found)
    assert len(onsets) == rows
    assert onsets[0] == 0
    assert (np.diff(onsets) >= 0).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 40), st.integers(0, 2**32 - 1))
def test_the_median_is_numpys(count: int, seed: int) -> None:
    """Of 7 neighbours, mirrored at the ends; ties included."""
    values = np.random.default_rng(seed).integers(0, 9, (3, count)).astype(np.float32)
    padded = np.pad(values, ((0, 0), (3, 3)), "reflect")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(padded, 7, axis=-1), axis=-1)
    assert np.array_equal(median7(values), expected)


def test_few_frames_are_not_smoothed() -> None:
    """Three frames have no seven neighbours."""
    values = np.arange(3, dtype=np.float32)[np.newaxis]
    assert np.array_equal(median7(values), values)


def test_tokens_are_found_where_heads_look() -> None:
    """Keys that answer to one token each, ten frames a token: it starts with its frames."""
    rng = np.random.default_rng(5)
    names = np.eye(6, 64, dtype=np.float32) * 30
    keys = np.repeat(names, 10, axis=0) + rng.normal(0, 0.3, (60, 64)).astype(np.float32)
    queries = np.stack([names, names], axis=1)
    found = starts(*path(-attention(queries, [keys, keys])))
    assert np.abs(found - np.arange(0, 60, 10)).max() <= 1
    assert np.isfinite(attention(queries, [keys * 0, keys * 0])).all()


def split(text: list[str], *, spaced: bool = True) -> list[tuple[str, bool]]:
    """Words of tokens with these texts, and whether a space is before each."""
    known = vocabulary(*text)
    tokens = [256 + n for n in range(len(text))]
    return [(g.text, not g.glued) for g in groups_of(tokens, known, first=0, spaced=spaced)]


def test_words_are_what_stands_between_spaces() -> None:
    """Joined by spaces they are the text; hyphens and apostrophes do not part them."""
    assert split([" кто", "-", "то", ",", " don", "'t", " —", " «", "Да", "».", " 3", "%"]) == [
        ("кто-то,", True),
        ("don't", True),
        ("—", True),
        ("«Да».", True),
        ("3%", True),
    ]


def test_languages_without_spaces_have_words_without_spaces() -> None:
    """Signs belong to what they close or open; a foreign word keeps its space."""
    found = split([" 你好", "，", "世界", "「", "好", "」", " GPS", "。"], spaced=False)
    assert found == [
        ("你好，", True),
        ("世界", False),
        ("「好」", False),
        ("GPS。", True),
    ]


def test_letters_that_span_tokens_are_whole() -> None:
    """Two halves of a letter are one unit; a broken one at the end is dropped."""
    first, second = "ё".encode()
    known = vocabulary(" ", "ж")
    groups = groups_of([256, first, second, 257, first], known, first=0, spaced=True)
    assert [group.text for group in groups] == ["ёж"]
    assert (groups[0].first, groups[0].last) == (0, 4)


def test_pauses_are_no_part_of_words() -> None:
    """A word is cut at its end before a pause, at its start after one; signs take no time."""
    known = vocabulary(" a", " b", ".", " c", " d")
    groups = groups_of([256, 257, 258, 259, 260], known, first=0, spaced=True)
    frames = [0, 20, 120, 125, 145, 165]
    words = words_of(groups, frames, [-0.1, -0.2, -0.4, 0.0, -1.0], Part(0.0, 3.3, 0, 5))
    assert [word.text for word in words] == ["a", "b.", "c", "d"]
    assert [round(word.start, 2) for word in words] == [0.0, 0.4, 2.5, 2.9]
    assert words[1].end == pytest.approx(0.4 + 2 * 0.4)
    assert words[1].confidence == pytest.approx(np.exp(-0.3))
    assert words[2].confidence == 1.0
