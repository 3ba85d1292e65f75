"""Finds the clips of build/proof-processors whose words hang by the thinnest thread.

select_clips.py FROM TO KEEP: of each model and variant the KEEP seeds in FROM..TO with the
smallest margin. The margin of a clip is the least that its scores would have to move for another
sequence of labels to win: the difference between best and second best where taking the second
changes the sequence.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import clips
import numpy as np
from run_clips import CASES, recorder

from glagol.registry.registry import Registry
from glagol.runtime.session import artifact
from glagol.runtime.tensors import read_float32

Scores = np.ndarray[Any, np.dtype[np.float32]]
SYMBOLS = 10
TRIED = 3
"""Near-ties of a clip that are turned the other way to see whether the labels change."""


def ctc_margin(scores: Scores) -> float:
    """The margin of a CTC model's outputs [T, C]."""
    order = np.argsort(scores, axis=1)
    best, second = order[:, -1], order[:, -2]
    rows = np.arange(len(scores))
    gaps = scores[rows, best] - scores[rows, second]
    label = _collapsed(best, scores.shape[1] - 1)
    for row in np.argsort(gaps, kind="stable"):
        other = best.copy()
        other[row] = second[row]
        if _collapsed(other, scores.shape[1] - 1) != label:
            return float(gaps[row])
    return float("inf")


def _collapsed(best: Scores, blank: int) -> list[int]:
    changed = np.diff(best, prepend=-1) != 0
    return [int(label) for label in best[changed] if label != blank]


def rnnt_margin(encoded: Scores, head: dict[str, Scores]) -> float:
    """The margin of an RNN-T model's encoder outputs [T, J]."""
    labels, gaps = _decoded(encoded, head, -1)
    steps = np.argsort(np.array(gaps), kind="stable")[:TRIED]
    for step in steps:
        if _decoded(encoded, head, int(step))[0] != labels:
            return gaps[step]
    return float("inf")


def _decoded(
    encoded: Scores, head: dict[str, Scores], turned: int
) -> tuple[list[int], list[float]]:
    """Labels and the margin of each step, the second best taken at step `turned`."""
    blank = len(head["joint.out.bias"]) - 1
    hidden = cell = np.zeros(head["lstm.weight_hh"].shape[1], np.float32)

    def following(label: int) -> tuple[Scores, Scores, Scores]:
        gates = head["lstm.bias"] + head["lstm.weight_hh"] @ hidden
        if label >= 0:
            gates = gates + head["lstm.weight_ih"] @ head["embed"][label]
        take, keep, value, show = np.split(gates, 4)
        new = _sigmoid(keep) * cell + _sigmoid(take) * np.tanh(value)
        shown = _sigmoid(show) * np.tanh(new)
        return shown, new, head["joint.pred.weight"] @ shown + head["joint.pred.bias"]

    hidden, cell, ahead = following(-1)
    labels: list[int] = []
    gaps: list[float] = []
    for frame in encoded:
        for _ in range(SYMBOLS):
            scores = head["joint.out.weight"] @ np.maximum(frame + ahead, 0)
            scores = scores + head["joint.out.bias"]
            second, best = np.argsort(scores)[-2:]
            if len(gaps) == turned:
                second, best = best, second
            gaps.append(abs(float(scores[best] - scores[second])))
            if best == blank:
                break
            labels.append(int(best))
            hidden, cell, ahead = following(int(best))
    return labels, gaps


def _sigmoid(value: Scores) -> Scores:
    found: Scores = 1 / (1 + np.exp(-value))
    return found


def main() -> None:
    """Print the seeds with the smallest margins."""
    first, last, keep = (int(argument) for argument in sys.argv[1:])
    registry = Registry.load(clips.ROOT)
    speech = clips.golden()
    for model, variant in CASES:
        recognizer, encoder = recorder(registry, model, variant)
        blobs = registry.open(model, variant).blobs
        head = dict(read_float32(artifact(blobs, "head.safetensors").data))
        margins = {}
        for seed in range(first, last):
            sound = clips.made(speech, seed).astype(np.float32) / np.float32(32_768)
            recognizer.words(sound, 0)
            outputs = encoder.last
            rnnt = "embed" in head
            margins[seed] = rnnt_margin(outputs, head) if rnnt else ctc_margin(outputs)
        tight = sorted(margins, key=lambda seed: margins[seed])[:keep]
        median = float(np.median(list(margins.values())))
        shown = {seed: float(f"{margins[seed]:.2g}") for seed in tight}
        sys.stdout.write(f"{model} {variant}: {json.dumps(shown)}, median {median:.2g}\n")


if __name__ == "__main__":
    main()
