"""Limits of a caller: never more than allowed in any minute, and never less for the patient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.web.access.rate_limit import Concurrency, Rate, RateLimitError


def passed(rate: Rate, caller: str, per_minute: int, now_s: float) -> bool:
    """Whether a request gets through."""
    try:
        rate.take(caller, per_minute, now_s)
    except RateLimitError as error:
        return error.retry_after_s < 1  # never; it would count as too many
    return True


@given(
    st.integers(1, 30),
    st.lists(st.floats(0, 20).map(lambda s: round(s, 3)), min_size=1, max_size=120),
)
def test_a_burst_and_then_an_even_flow(per_minute: int, pauses: list[float]) -> None:
    """In t seconds at most one minute's burst plus t minutes' worth get through."""
    rate, now_s, through = Rate(), 1000.0, 0
    for pause_s in pauses:
        now_s += pause_s
        through += passed(rate, "a", per_minute, now_s)
        assert through <= per_minute + (now_s - 1000.0) * per_minute / 60.0 + 1e-3


@given(st.integers(1, 600))
def test_a_caller_that_waits_for_retry_after_gets_through(per_minute: int) -> None:
    """A whole minute's requests at once; then Retry-After is enough, and not an age."""
    rate = Rate()
    assert all(passed(rate, "a", per_minute, 0.0) for _ in range(per_minute))
    with pytest.raises(RateLimitError) as caught:
        rate.take("a", per_minute, 0.0)
    assert caught.value.retry_after_s <= 60 / per_minute + 1
    assert passed(rate, "a", per_minute, float(caught.value.retry_after_s))


def test_callers_do_not_share_and_zero_means_any() -> None:
    """One caller's flood is not another's."""
    rate = Rate()
    assert passed(rate, "a", 1, 0.0)
    assert not passed(rate, "a", 1, 0.0)
    assert passed(rate, "b", 1, 0.0)
    assert all(passed(rate, "c", 0, 0.0) for _ in range(1000))


def test_memory_is_bounded() -> None:
    """A flood of addresses pushes out the one that was seen longest ago."""
    rate = Rate(callers_max=100)
    for number in range(1000):
        assert passed(rate, str(number), 1, 0.0)
    assert len(rate) == 100
    assert not passed(rate, "999", 1, 0.0)


def test_so_many_at_one_time() -> None:
    """A refused one takes no place; one that leaves makes room."""
    running = Concurrency()
    running.enter("a", 2)
    running.enter("a", 2)
    for _ in range(3):
        with pytest.raises(RateLimitError):
            running.enter("a", 2)
    running.enter("b", 2)
    running.leave("a")
    running.enter("a", 2)
