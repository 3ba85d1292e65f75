"""One owner may use most of a pool, and an owner that holds nothing still finds a place."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import CODES, LimitError
from glagol.core.shares import KEPT, Shares, allowed
from glagol.web.access.auth import Caller
from glagol.web.access.owner import network_of, owner_of


def greedy(pool: Shares, owner: str) -> int:
    """Take for `owner` all that it gets; how much that is."""
    while pool.offer(owner):
        pass
    return pool.of(owner)


@pytest.mark.parametrize(
    ("size", "alone", "first", "second"),
    [(64, 0.75, 42, 10), (64, 0.5, 28, 14), (16, 0.75, 10, 3), (4, 0.75, 3, 1), (64, 1.0, 64, 0)],
)
def test_the_share_of_one_and_of_the_next(size: int, alone: float, first: int, second: int) -> None:
    """The figures of the documents."""
    pool = Shares(size, "things", alone)
    assert (greedy(pool, "one"), greedy(pool, "two")) == (first, second)


def test_shares_become_even_as_places_come_back() -> None:
    """The one that came first cannot take again what it gave back while another wants it."""
    pool = Shares(64, "things")
    greedy(pool, "one")
    for _ in range(200):
        greedy(pool, "two")
        pool.leave("one")
        pool.leave("two")
        greedy(pool, "one")
    assert abs(pool.of("one") - pool.of("two")) <= 8
    assert pool.used == pool.of("one") + pool.of("two") <= 48


@given(
    st.integers(1, 200),
    st.floats(0.1, 0.99),
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(-1, 3)), max_size=200),
)
def test_an_owner_that_holds_nothing_finds_a_place(
    size: int, alone: float, steps: list[tuple[str, int]]
) -> None:
    """While there are fewer owners than kept places, whatever those that are there do."""
    pool = Shares(size, "things", alone)
    for owner, amount in steps:
        if amount < 0 and pool.of(owner):
            pool.leave(owner)
        elif amount > 0:
            pool.offer(owner, amount if pool.of(owner) else 1)
        assert 0 <= pool.used <= size
        assert pool.used == sum(pool.of(each) for each in "abcde")
    holders = sum(pool.of(each) > 0 for each in "abcde")
    if holders < size // KEPT:
        assert pool.offer("another owner")


def test_refusals_say_whose_fault_it_is() -> None:
    """The owner's own share, or the whole pool; both may be tried again later."""
    pool = Shares(8, "bodies")
    greedy(pool, "one")
    with pytest.raises(LimitError, match="your share of bodies is used up: 5") as caught:
        pool.take("one")
    assert caught.value.code == "share_used"
    for other in ("two", "three", "four"):
        pool.take(other)
    with pytest.raises(LimitError, match="no room for more bodies") as caught:
        pool.take("five")
    assert caught.value.code == "busy"
    assert CODES["share_used"].retry
    assert CODES["busy"].retry


def test_a_place_is_given_back_however_its_block_ends() -> None:
    """By an error, too; and nothing of the owner is kept then."""
    pool = Shares(2, "things")

    def fail() -> None:
        with pool.held("one"):
            assert pool.of("one") == pool.used == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (pool.of("one"), pool.used) == (0, 0)


def test_a_burst_takes_no_more_than_the_share() -> None:
    """Threads that ask at the same moment."""
    got: list[Any] = []
    pool, start = Shares(64, "things"), threading.Barrier(16)

    def ask() -> None:
        start.wait()
        got.extend(pool.offer("one") for _ in range(16))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(got) == pool.used == 42


def test_amounts_are_bytes_too() -> None:
    """An owner that holds nothing gets whatever fits, another what its share allows."""
    assert allowed(100, 0, 0, 100)
    assert not allowed(100, 1, 0, 100)
    assert allowed(1 << 35, 0, 1, (1 << 35) // 2)
    assert not allowed(1 << 35, 1 << 34, 1 << 34, (1 << 35) // 4)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("", ""),
        ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff:1", "2001:db8::/64"),
    ],
)  # fmt: skip
def test_an_owner_is_a_key_or_an_address(host: str, network: str) -> None:
    """No name of a key looks like an address's."""
    scope: dict[str, Any] = {"client": (host, 1)}
    assert network_of(host) == network
    assert owner_of(scope) == f"@{network}"
    scope["state"] = {"caller": Caller("alice", admin=False)}
    assert owner_of(scope) == "alice"
