"""People and windows to turns: every window votes with its local speakers, named by the pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.speech.speakers.frames import ACTIVE, FRAMES, Numbers, runs, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Turn", "turns"]

REACH: Final = 120
"""Frames: how far a local speaker without a piece of its own may be from one that has: 2 s."""

_GAP: Final = 12
_SHORTEST: Final = 6
"""Frames: a shorter pause inside a turn is filled, a shorter turn is dropped; 0.2 s and 0.1 s."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One person speaks, seconds; `person` counts from 0."""

    start: float
    end: float
    person: int


def turns(windows: Sequence[Numbers], step: int, owners: Numbers, people: int) -> list[Turn]:
    """Find who speaks when.

    Args:
        windows: classes uint8 [589] of each window.
        step: frames between two windows.
        owners: the person whose piece a frame lies in, int [frames]; -1 for none.
        people: how many there are.

    Returns:
        Turns by start, then by person; those of different people may overlap.
    """
    total = len(owners)
    active = np.zeros((total, people), bool)
    for start, block in _blocks(windows, step, owners, people):
        rows = active[start : start + len(block)]
        rows[:] = block[: len(rows)]
    found = []
    for person in range(people):
        mask = active[:, person]
        for gap in runs(~mask):
            if gap.start > 0 and gap.end < total and len(gap) < _GAP:
                mask[gap.start : gap.end] = True
        for run in runs(mask):
            if len(run) >= _SHORTEST:
                ends = round(seconds(run.start), 3), round(seconds(run.end), 3)
                found.append(Turn(*ends, person))
    return sorted(found, key=lambda turn: (turn.start, turn.person))


def _blocks(
    windows: Sequence[Numbers], step: int, owners: Numbers, people: int
) -> Iterator[tuple[int, Numbers]]:
    """The active speakers by blocks of `step` frames: position, and bool [step, people]."""
    weight = _taper()
    reach = -(-FRAMES // step)
    size = (reach + 1) * step
    shares, speakers, covered = np.zeros((size, people)), np.zeros(size), np.zeros(size)
    for index in range(len(windows) + reach):
        if index < len(windows):
            start = index * step
            mine = owners[start : start + FRAMES]
            mine = np.pad(mine, (0, FRAMES - len(mine)), constant_values=-1)
            active = ACTIVE[windows[index]]
            shares[:FRAMES] += _named(active, mine, people) * weight[:, None]
            speakers[:FRAMES] += active.sum(axis=1) * weight
            covered[:FRAMES] += weight
        ready = slice(0, step)
        yield index * step, _chosen(shares[ready], speakers[ready], covered[ready])
        for array in (shares, speakers, covered):
            array[:-step] = array[step:]
            array[-step:] = 0.0


def _chosen(shares: Numbers, speakers: Numbers, covered: Numbers) -> Numbers:
    """As many people as speak, those with the most votes; bool [n, people]."""
    number = np.floor(speakers / np.maximum(covered, 1e-9) + 0.5).astype(int)
    ranks = np.argsort(np.argsort(-shares, axis=1, kind="stable"), axis=1, kind="stable")
    chosen: Numbers = (ranks < number[:, None]) & (shares > 0)
    return chosen


def _named(active: Numbers, mine: Numbers, people: int) -> Numbers:
    """Votes of one window: bool [589, people].

    Args:
        active: which local speakers speak, bool [589, 3].
        mine: owners of the window's frames, int [589].
        people: how many there are.
    """
    votes = np.zeros((FRAMES, people), bool)
    solo = active.sum(axis=1) == 1
    for local in range(active.shape[1]):
        known = np.flatnonzero(active[:, local] & solo & (mine >= 0))
        if not len(known):
            continue
        for run in runs(active[:, local]):
            inside = known[(known >= run.start) & (known < run.end)]
            frames = np.arange(run.start, run.end)
            if len(inside):
                votes[frames, mine[_nearest(inside, frames)]] = True
            else:
                near = _nearest(known, np.array([run.start, run.end - 1]))
                gaps = np.abs(near - [run.start, run.end - 1])
                if gaps.min() <= REACH:
                    votes[frames, mine[near[gaps.argmin()]]] = True
    return votes


def _nearest(places: Numbers, frames: Numbers) -> Numbers:
    """Of sorted places the one that is nearest to each frame."""
    at = np.searchsorted(places, frames).clip(1, max(1, len(places) - 1))
    if len(places) == 1:
        return np.full(len(frames), places[0])
    left, right = places[at - 1], places[at]
    chosen: Numbers = np.where(frames - left <= right - frames, left, right)
    return chosen


def _taper() -> Numbers:
    """Weights of a window's frames, float64 [589]: its middle has context on both sides."""
    distance = np.abs(np.arange(FRAMES) - (FRAMES - 1) / 2) / (FRAMES / 2)
    weights: Numbers = 1.05 - distance
    return weights
