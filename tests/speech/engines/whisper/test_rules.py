"""What the next token may be, on hand-made logits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.engines.whisper.ids import Ids
from glagol.speech.engines.whisper.rules import Rules
from glagol.speech.engines.whisper.segments import parts_of, reached

IDS = Ids.of(51_865)
TIME = IDS.timestamps
RULES = Rules(IDS, np.array([7, IDS.no_timestamps, IDS.no_speech]), np.array([220, IDS.eot]))


def allowed(tokens: list[int], **logits: float) -> set[int]:
    """Tokens that may follow, where text is likelier than any time unless `logits` say else."""
    row = np.zeros(IDS.vocabulary, np.float32)
    row[TIME:] = -20
    for token, value in logits.items():
        row[int(token.removeprefix("t"))] = value
    RULES.apply(row, tokens)
    return set(np.flatnonzero(np.isfinite(row)).tolist())


def test_a_text_begins_with_a_time_of_at_most_a_second() -> None:
    """0.00 to 1.00, nothing else."""
    assert allowed([]) == set(range(TIME, TIME + 51))


def test_what_is_never_said_is_forbidden() -> None:
    """Symbols, special tokens; text, its end and later times are allowed."""
    found = allowed([TIME, 300])
    assert not found & {7, IDS.no_timestamps, IDS.no_speech}
    assert {5, 220, IDS.eot, TIME + 1, TIME + 1500} <= found


@pytest.mark.parametrize(
    ("tokens", "texts", "end", "first_time"),
    [
        ([TIME], True, True, None),  # a time opens: no second one
        ([TIME + 5, 300, 301], True, True, TIME + 6),  # no segment without length
        ([TIME + 5, 300, TIME + 40], False, True, TIME + 40),  # the next may begin where it ends
        ([TIME + 5, 300, TIME + 40, TIME + 40], True, True, None),
        ([TIME + 5, 300, TIME + 40, TIME + 45, 301], True, True, TIME + 46),
    ],
)
def test_times_come_in_pairs_and_never_go_back(
    tokens: list[int], first_time: int | None, *, texts: bool, end: bool
) -> None:
    """After each kind of beginning: whether text, the end, and which times may follow."""
    found = allowed(tokens)
    assert (300 in found) == texts
    assert (IDS.eot in found) == end
    times = {token for token in found if token >= TIME}
    assert times == (set() if first_time is None else set(range(first_time, IDS.vocabulary)))


def test_many_likely_times_outweigh_the_best_token() -> None:
    """Their sum counts, though each is less likely than the best text token."""
    row = np.full(IDS.vocabulary, -50, np.float32)
    row[300] = 0
    row[TIME + 10 : TIME + 20] = -2
    RULES.apply(row, [TIME, 301])
    assert np.isneginf(row[:TIME]).all()
    row = np.full(IDS.vocabulary, -50, np.float32)
    row[300] = 0
    row[TIME + 10 : TIME + 12] = -2
    RULES.apply(row, [TIME, 301])
    assert np.isfinite(row[300])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_every_walk_is_a_text(seed: int) -> None:
    """Whatever is sampled: something can follow, times rise, and the parts hold all text tokens."""
    rng = np.random.default_rng(seed)
    tokens: list[int] = []
    for _ in range(12):
        row = np.full(IDS.vocabulary, -30, np.float32)
        row[rng.integers(0, 50_000, 3)] = rng.normal(0, 3, 3)
        row[TIME + rng.integers(0, 1501, 3)] = rng.normal(0, 3, 3)
        row[IDS.eot] = -4
        RULES.apply(row, tokens)
        token = int(row.argmax())
        assert np.isfinite(row[token])
        if token == IDS.eot:
            break
        tokens.append(token)
    times = [token for token in tokens if token >= TIME]
    assert times == sorted(times)
    parts = parts_of(tokens, IDS)
    inside = [token for part in parts for token in tokens[part.first : part.last]]
    assert inside == [token for token in tokens if token < IDS.eot]
    for part in parts:
        assert part.first < part.last
        assert part.end is None or part.end > part.start
    assert all(a.end is not None and a.end <= b.start for a, b in pairwise(parts))


def test_parts_and_the_end_of_what_was_said() -> None:
    """Two parts with a pause; a text that ends without a time says not how far it reaches."""
    tokens = [TIME, 1, 2, TIME + 50, TIME + 75, 3, TIME + 100]
    found = parts_of(tokens, IDS)
    assert [(p.start, p.end, p.first, p.last) for p in found] == [
        (0.0, 1.0, 1, 3),
        (1.5, 2.0, 5, 6),
    ]
    assert reached(tokens, IDS) == 2.0
    assert reached(tokens[:-1], IDS) is None
    assert parts_of(tokens[:-1], IDS)[-1].end is None
    assert reached([], IDS) is None
