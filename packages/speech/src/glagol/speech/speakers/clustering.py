"""Voices to people: average linkage in two levels, without randomness.

The mean distance between the members of two clusters of unit vectors is one minus the product of
their mean vectors, so a cluster is a sum and a number, and clusters of clusters are as exact as if
all members had been compared. Each hour is clustered by itself up to the threshold; what is left of
all hours is clustered together. Ties go to the lower index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.speech.speakers.frames import Numbers

if TYPE_CHECKING:
    from glagol.speech.speakers.types import Bounds

__all__ = ["Clusters", "cluster"]

BLOCK: Final = 1500
"""Voices of the first level: about an hour of speech without a pause."""

_NEVER: Final = 9.0


@dataclass(frozen=True, slots=True)
class Clusters:
    """People.

    Attributes:
        owners: the person of each voice, int [n].
        means: mean voice of each person, unit length, float64 [people, size].
    """

    owners: Numbers
    means: Numbers


def cluster(
    voices: Numbers, weights: Numbers, *, threshold: float, least_s: float, bounds: Bounds
) -> Clusters:
    """Find the people of a recording.

    Args:
        voices: unit vectors float64 [n, size], n >= 1, in order of time.
        weights: seconds of speech of each voice, float64 [n].
        threshold: mean distance (1 - cosine) up to which clusters are one person.
        least_s: clusters with less speech than this are given to the nearest of the others.
        bounds: how many people there can be.

    Returns:
        At least one person.
    """
    groups = [np.array([index]) for index in range(len(voices))]
    for start in range(0, len(voices), BLOCK) if len(voices) > BLOCK else ():
        block = list(range(start, min(start + BLOCK, len(voices))))
        for a, b, distance in _merges(voices[block], np.ones(len(block))):
            if distance > threshold:
                break
            groups[block[a]] = np.concatenate([groups[block[a]], groups[block[b]]])
            groups[block[b]] = np.array([], int)
    groups = [group for group in groups if len(group)]
    sums = np.array([voices[group].sum(axis=0) for group in groups])
    sizes = np.array([float(len(group)) for group in groups])
    held = np.array([weights[group].sum() for group in groups])
    merges = _merges(sums, sizes)
    for a, b, _ in merges[: _stop(merges, held, threshold, least_s, bounds)]:
        groups[a] = np.concatenate([groups[a], groups[b]])
        groups[b] = np.array([], int)
    people = [group for group in groups if len(group)]
    return _people(voices, weights, people, least_s, bounds)


def _merges(sums: Numbers, sizes: Numbers) -> list[tuple[int, int, float]]:
    """All merges of average linkage, the nearest first: index kept, index gone, distance."""
    count = len(sums)
    means = sums / sizes[:, None]
    # einsum and not @: a BLAS product may differ with the number of threads
    distances = 1.0 - np.einsum("ik,jk->ij", means, means)
    np.fill_diagonal(distances, _NEVER)
    sizes = sizes.copy()
    nearest = distances.argmin(axis=1)
    found: list[tuple[int, int, float]] = []
    lowest = distances[np.arange(count), nearest]
    for _ in range(count - 1):
        a = int(lowest.argmin())
        b = int(nearest[a])
        a, b = min(a, b), max(a, b)
        found.append((a, b, float(distances[a, b])))
        row = (distances[a] * sizes[a] + distances[b] * sizes[b]) / (sizes[a] + sizes[b])
        row[a] = _NEVER
        gone = distances[a] >= _NEVER
        row[gone] = _NEVER
        sizes[a] += sizes[b]
        distances[a], distances[:, a] = row, row
        distances[b], distances[:, b] = _NEVER, _NEVER
        stale = np.flatnonzero((nearest == a) | (nearest == b))
        stale = np.union1d(stale, [a])
        nearest[stale] = distances[stale].argmin(axis=1)
        closer = row < lowest
        nearest[closer] = a
        lowest = distances[np.arange(count), nearest]
    return found


def _stop(
    merges: list[tuple[int, int, float]],
    held: Numbers,
    threshold: float,
    least_s: float,
    bounds: Bounds,
) -> int:
    """How many merges to make: to the threshold, or as near to it as the bounds allow."""
    held = held.copy()
    standing = int((held >= least_s).sum())
    counts = [standing]
    for a, b, _ in merges:
        standing -= int(held[a] >= least_s) + int(held[b] >= least_s)
        held[a] += held[b]
        held[b] = 0.0
        standing += int(held[a] >= least_s)
        counts.append(standing)
    usual = sum(1 for _, _, distance in merges if distance <= threshold)
    most = len(held) if bounds.most is None else bounds.most
    if max(counts) < bounds.least:  # the caller knows of people who say little
        return max(0, len(held) - bounds.least)
    misses = [max(bounds.least - max(1, n), max(1, n) - most, 0) for n in counts]
    return min(range(len(counts)), key=lambda at: (misses[at], abs(at - usual)))


def _people(
    voices: Numbers, weights: Numbers, groups: list[Numbers], least_s: float, bounds: Bounds
) -> Clusters:
    """Give small clusters to the others, the largest of them staying where none is large enough."""
    held = np.array([weights[group].sum() for group in groups])
    order = sorted(range(len(groups)), key=lambda at: (-held[at], at))
    large = sum(bool(weight >= least_s) for weight in held)
    stay = sorted(order[: max(1, large, bounds.least)])
    means = np.array([voices[groups[at]].mean(axis=0) for at in stay])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    owners = np.zeros(len(voices), int)
    for person, at in enumerate(stay):
        owners[groups[at]] = person
    for at in set(range(len(groups))) - set(stay):
        owners[groups[at]] = np.einsum("ik,jk->ij", voices[groups[at]], means).argmax(axis=1)
    return Clusters(owners, means)
