"""Windows and pieces to turns, with classes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from glagol.speech.speakers.frames import FRAMES, Numbers, Run, count, edge, runs, seconds
from glagol.speech.speakers.pieces import Labels, cut
from glagol.speech.speakers.turns import turns

STEP = 148
SOLO = (0, 1, 2, 4)
"""Bits of classes 0 to 3."""


def windows(truth: Numbers, dice: np.random.Generator) -> list[Numbers]:
    """What a perfect network says of people 1 to 3 (0: silence), each window with its own names."""
    found = []
    for start in range(0, max(1, len(truth) - FRAMES + STEP), STEP):
        part = truth[start : start + FRAMES]
        names = np.array([0, *(dice.permutation(3) + 1)])
        found.append(np.pad(names[part], (0, FRAMES - len(part))).astype(np.uint8))
    return found


def test_names_of_windows_do_not_matter() -> None:
    """Labels change where people change and not where windows end; turns are the truth."""
    dice = np.random.default_rng(5)
    truth = np.repeat([0, 1, 0, 2, 1, 3, 0, 2, 0], [40, 300, 30, 260, 222, 300, 60, 400, 50])
    seen = windows(truth, dice)
    labels = Labels(STEP)
    spoken = [labels.push(each, last=each is seen[-1]) for each in seen]
    joined = np.concatenate(spoken)[: len(truth)]
    changes = np.flatnonzero(np.diff(joined)) + 1
    assert changes.tolist() == (np.flatnonzero(np.diff(truth)) + 1).tolist()
    owners = truth.astype(int) - 1
    found = turns(seen, STEP, owners, 3)
    expected = [
        (round(seconds(run.start), 3), round(seconds(run.end), 3), person)
        for person in range(3)
        for run in runs(truth == person + 1)
    ]
    assert [(t.start, t.end, t.person) for t in found] == sorted(expected)


def test_overlapped_speech_has_both() -> None:
    """A speaker continues through the words of another: two turns at a time."""
    classes = np.zeros(FRAMES, np.uint8)
    classes[100:300], classes[300:350], classes[350:500] = 1, 4, 2
    owners = np.full(FRAMES, -1)
    owners[100:300], owners[350:500] = 0, 1
    found = turns([classes], STEP, owners, 2)
    assert [(t.start, t.end, t.person) for t in found] == [
        (round(seconds(100), 3), round(seconds(350), 3), 0),
        (round(seconds(300), 3), round(seconds(500), 3), 1),
    ]


def test_pieces_are_of_one_label_and_not_too_long() -> None:
    """Overlap and silence belong to no piece; a blink of silence ends none."""
    labels = np.repeat(
        np.array([0, 1, 0, 1, 3, 2, 0, 2], np.int8), [10, 50, 4, 46, 20, 30, 30, 250]
    )
    assert cut(labels, 100) == [
        Run(10, 110),
        Run(130, 160),
        Run(190, 273),
        Run(273, 356),
        Run(356, 440),
    ]


@pytest.mark.parametrize("samples", [0, 1, 359, 360, 361, 630, 16_000, 160_000])
def test_frames_cover_a_recording(samples: int) -> None:
    """A frame belongs to a recording in which it begins."""
    frames = count(samples)
    assert frames == 0 or edge(frames - 1) < samples
    assert edge(frames) >= samples
