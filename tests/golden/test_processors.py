"""This processor gives the golden results: the words of fp32, the clear ones of int8, the spans.

The clips were chosen for near-ties (docs/adr/0017). build/proof-processors compares other classes
of processor, emulated, in the same way.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import homes

sys.path.append(str(homes.ROOT / "build/processors"))

import clips
import compare as proof

CLIPS_MIN = 20


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """The golden results."""
    found: dict[str, Any] = json.loads(proof.GOLDEN.read_text(encoding="utf-8"))
    return found


def test_this_machine_gives_the_golden_results(tmp_path: Path) -> None:
    """The whole comparison, without the classes that need an emulator."""
    homes.repository()
    command = [sys.executable, str(homes.ROOT / "build/processors/compare.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "classes with the same words and spans: 1" in done.stdout


def made_result(
    golden: dict[str, Any], apart: float = 0.1, name: str = "a class"
) -> proof.ClassResult:
    """A class with the golden results and the requested builds; int8 is `apart` from fp32."""
    found: dict[str, Any] = {"sha256": golden["sha256"], "spans": golden["spans"]}
    outputs: dict[str, Any] = {}
    for case, texts in copy.deepcopy(golden["texts"]).items():
        found[case] = {}
        for clip in golden["sha256"]:
            found[case][clip] = {"text": texts.get(clip, "anything"), "words": []}
            outputs[f"{case} {clip}"] = np.full((3, 2), apart * case.endswith("int8"))
    found["ran"] = {case: case.split()[1] for case in golden["texts"]}
    return proof.ClassResult(name, found, outputs, 1.0)


def test_the_golden_results_pass(golden: dict[str, Any]) -> None:
    """int8's words on hard clips are free."""
    assert proof.differences(golden, made_result(golden)) == []


@pytest.mark.parametrize(
    ("case", "clip"),
    [
        ("gigaam-nano cpu-fp32", "702"),
        ("gigaam-nano-rnnt cpu-fp32", "golden"),
        ("gigaam-nano cpu-int8", "golden"),
    ],
)
def test_another_word_is_a_difference(golden: dict[str, Any], case: str, clip: str) -> None:
    """Of fp32 on any clip, of int8 on the golden one."""
    other = made_result(golden)
    other.found[case][clip]["text"] += "!"
    (line,) = proof.differences(golden, other)
    assert line.startswith(f"a class: {case}, clip {clip}: ")


def test_other_spans_clips_and_outputs_are_differences(golden: dict[str, Any]) -> None:
    """A span that ends later, a clip of other bytes, int8 far from fp32."""
    other = made_result(golden, apart=0.5)
    other.found["spans"] = [[0, 1]]
    other.found["sha256"] = {**golden["sha256"], "702": "0" * 64}
    lines = proof.differences(golden, other)
    assert [line.partition(":")[2].split()[0] for line in lines] == [
        "the",
        "speech",
        "gigaam-nano:",
        "gigaam-nano-rnnt:",
    ]


@pytest.mark.parametrize("name", [proof.AVX2, proof.ARM])
def test_another_build_than_the_classes_own_is_a_difference(
    golden: dict[str, Any], name: str
) -> None:
    """int8 itself runs on both classes, never fp32 in its place."""
    other = made_result(golden, name=name)
    other.found["ran"] |= {case: "cpu-fp32" for case in golden["texts"] if case.endswith("int8")}
    assert len(proof.differences(golden, other)) == 2


def test_clips_are_many_short_and_unlike(golden: dict[str, Any]) -> None:
    """At least 20 besides the golden one, of one to two seconds, within 16 bits, no two alike."""
    speech = clips.golden()
    seeds = [int(name) for name in golden["sha256"] if name.isdigit()]
    made = [clips.made(speech, seed) for seed in seeds]
    assert len({clip.tobytes() for clip in made}) == len(seeds) >= CLIPS_MIN
    assert all(clips.RATE <= len(clip) < 2 * clips.RATE for clip in made)
    assert all(-32_768 <= clip.min() < clip.max() <= 32_767 for clip in made)
