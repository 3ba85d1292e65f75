"""Voices to people: counts, bounds, two levels, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.speakers import clustering
from glagol.speech.speakers.clustering import Clusters, cluster
from glagol.speech.speakers.frames import Numbers
from glagol.speech.speakers.types import Bounds


def voices(people: int, each: int, noise: float, seed: int) -> Numbers:
    """Unit vectors of `people` far-apart voices in turns, `each` of one."""
    dice = np.random.default_rng(seed)
    middles = np.linalg.qr(dice.normal(size=(192, people)))[0].T
    found = np.repeat(middles[None], each, axis=0).reshape(-1, 192)
    found = found + noise * dice.normal(size=found.shape) / np.sqrt(192)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


ANY = Bounds()


def found(given: Numbers, bounds: Bounds = ANY) -> Clusters:
    weights = np.full(len(given), 2.0)
    return cluster(given, weights, threshold=0.55, least_s=3.0, bounds=bounds)


@given(st.integers(1, 6), st.integers(2, 20), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_people_are_distinguished(people: int, each: int, seed: int) -> None:
    """As many as there are, each with its own voices."""
    owners = found(voices(people, each, 0.5, seed)).owners
    assert len(set(owners.tolist())) == people
    rows = owners.reshape(each, people)
    assert (rows == rows[0]).all()


def test_average_linkage_is_that_of_all_pairs() -> None:
    """The merges are those of the definition, computed from every pair of members."""
    given = voices(5, 6, 2.0, 3)
    groups = [[at] for at in range(len(given))]
    pairs = 1.0 - given @ given.T
    for a, b, distance in clustering._merges(given, np.ones(len(given))):
        live = [at for at, group in enumerate(groups) if group]
        mean = {
            (i, j): pairs[np.ix_(groups[i], groups[j])].mean() for i in live for j in live if i < j
        }
        assert distance == pytest.approx(min(mean.values()), abs=1e-9)
        assert mean[a, b] == pytest.approx(distance, abs=1e-9)
        groups[a] += groups[b]
        groups[b] = []


def test_two_levels_find_the_people_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 40 voices give the clusters of one block of 240."""
    given = voices(4, 60, 0.8, 5)
    whole = found(given).owners
    monkeypatch.setattr(clustering, "BLOCK", 40)
    assert np.array_equal(found(given).owners, whole)


@pytest.mark.parametrize(
    ("bounds", "people"),
    [
        (Bounds(2, 2), 2),
        (Bounds(1, 3), 3),
        (Bounds(4, 4), 4),
        (Bounds(6, 6), 6),
        (Bounds(5), 5),
        (Bounds(1, 20), 4),
    ],
)
def test_bounds_are_kept(bounds: Bounds, people: int) -> None:
    """Fewer or more people than the voices say, where the caller knows better."""
    given = voices(4, 12, 1.0, 7)
    assert len(set(found(given, bounds).owners.tolist())) == people


def test_more_people_than_voices_are_not_made_up() -> None:
    """Twenty speakers of three pieces are three."""
    given = voices(1, 3, 1.0, 1)
    assert len(set(found(given, Bounds(20, 20)).owners.tolist())) == 3


def test_a_small_cluster_is_given_to_the_others() -> None:
    """One odd piece of two seconds is no person; alone it is one."""
    given = np.concatenate([voices(2, 10, 0.5, 2), voices(3, 1, 0.0, 99)[2:]])
    assert len(found(given).means) == 2
    assert len(found(given[-1:]).means) == 1
