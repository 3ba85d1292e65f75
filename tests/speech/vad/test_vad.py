"""Voice activity against the real package's numbers and against its rule written offline."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glagol.runtime.ort import onnxruntime
from glagol.speech.audio.decode import decode
from glagol.speech.types import Span
from glagol.speech.vad.config import Vad
from glagol.speech.vad.model import FRAME, ActivityStream
from glagol.speech.vad.spans import SpanMachine
from speech import made

GOLDEN = made.golden("vad.json")
CLIP = Path(__file__).parent.parent / "golden/vad.flac"
NAMES = {
    "threshold": "threshold",
    "neg_threshold": "neg_threshold",
    "speech_pad_ms": "speech_pad_ms",
    "min_silence_duration_ms": "min_silence_ms",
    "min_speech_duration_ms": "min_speech_ms",
    "max_speech_duration_s": "max_speech_s",
}


def offline(probabilities: list[float], total: int, p: Vad) -> list[Span]:
    """`get_speech_timestamps_from_probs` restated: the whole recording at once, then padding."""
    return padded(unpadded(probabilities, total, p), total, 16 * p.speech_pad_ms)


def unpadded(probabilities: list[float], total: int, p: Vad) -> list[list[int]]:
    """The hysteresis: speech starts at the high threshold, ends after silence below the low one."""
    limit = 16_000 * p.max_speech_s - FRAME - 2 * 16 * p.speech_pad_ms
    raw: list[list[int]] = []
    start = fell = None
    silences: list[tuple[int, int]] = []
    for now, value in zip(itertools.count(0, FRAME), probabilities, strict=False):
        if value >= p.threshold and fell is not None:
            if now - fell > 16 * p.min_silence_at_max_speech_ms:
                silences.append((fell, now))
            fell = None
        if value >= p.threshold and start is None:
            start = now
            continue
        if start is not None and now - start > limit:
            fell = None
            if silences:
                begin, end = max(silences, key=lambda silence: silence[1] - silence[0])
                raw.append([start, begin])
                start, silences = end, []
            else:
                raw.append([start, now])
                start = None
                continue
        if start is not None and value < p.neg_threshold:
            fell = now if fell is None else fell
            if now - fell >= 16 * p.min_silence_ms:
                if fell - start > 16 * p.min_speech_ms:
                    raw.append([start, fell])
                start, fell, silences = None, None, []
    if start is not None and total - start > 16 * p.min_speech_ms:
        raw.append([start, total])
    return raw


def padded(raw: list[list[int]], total: int, pad: int) -> list[Span]:
    """Both sides by the pad, or by half of the gap where two spans are nearer than two pads."""
    out = [list(span) for span in raw]
    for span in out[:1]:
        span[0] = max(0, span[0] - pad)
    for left, right in itertools.pairwise(out):
        gap = right[0] - left[1]
        share = gap // 2 if gap < 2 * pad else pad
        left[1] += share
        right[0] = max(0, right[0] - share)
    for span in out[-1:]:
        span[1] = min(total, span[1] + pad)
    return [Span(*span) for span in out]


def streamed(
    probabilities: list[float], total: int, parameters: Vad, cuts: list[int]
) -> list[Span]:
    """The machine, fed in uneven blocks; what it has settled must stay settled."""
    machine = SpanMachine(parameters)
    spans: list[Span] = []
    edges = [0, *sorted(cut % (len(probabilities) + 1) for cut in cuts), len(probabilities)]
    settled = 0
    for first, last in itertools.pairwise(edges):
        new = machine.push(probabilities[first:last])
        assert all(span.start >= settled for span in new)
        assert machine.settled >= settled
        settled = machine.settled
        spans += new
    new = machine.finish(total)
    assert all(span.start >= settled for span in new)
    return spans + new


def parameters_of(case: dict[str, Any]) -> Vad:
    """The package's keywords as ours; its default limit is infinity."""
    return Vad(**{"max_speech_s": 1e6, **{NAMES[name]: value for name, value in case.items()}})


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: str(case["parameters"]))
def test_spans_are_the_packages(case: dict[str, dict[str, float]]) -> None:
    probabilities = GOLDEN["probabilities"]
    expected = [Span(*span) for span in case["spans"]]
    parameters = parameters_of(case["parameters"])
    assert streamed(probabilities, GOLDEN["samples"], parameters, [7, 50, 51]) == expected
    assert offline(probabilities, GOLDEN["samples"], parameters) == expected


# speech comes in runs: a level held for some frames, so that every rule is reached
RUNS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.9]), st.integers(1, 12)), max_size=40
)
PARAMETERS = st.builds(
    Vad,
    threshold=st.sampled_from([0.45, 0.5, 0.8]),
    neg_threshold=st.sampled_from([0.1, 0.35, 0.45]),
    min_speech_ms=st.sampled_from([0, 100, 250]),
    min_silence_ms=st.sampled_from([0, 32, 100, 300]),
    speech_pad_ms=st.sampled_from([0, 30, 100, 400]),
    max_speech_s=st.sampled_from([1.0, 2.0, 1e6]),
    min_silence_at_max_speech_ms=st.sampled_from([0, 98]),
)


EQUAL_SILENCES = [(0.9, 12), (0.0, 5), (0.9, 12), (0.0, 5), (0.9, 60)]


@settings(max_examples=150, deadline=None)
@example(EQUAL_SILENCES, Vad(max_speech_s=2.0, min_silence_ms=300), [], FRAME)
@given(RUNS, PARAMETERS, st.lists(st.integers(0, 500), max_size=4), st.integers(1, FRAME))
def test_stream_equals_the_offline_rule(
    runs: list[tuple[float, int]], parameters: Vad, cuts: list[int], last: int
) -> None:
    probabilities = [level for level, count in runs for _ in range(count)]
    total = max(0, (len(probabilities) - 1) * FRAME + last) if probabilities else 0
    expected = offline(probabilities, total, parameters)
    assert streamed(probabilities, total, parameters, cuts) == expected


def clip() -> made.Samples:
    with CLIP.open("rb") as file:
        return np.concatenate(list(decode(file, max_seconds=60)))


def probabilities_of(
    session: onnxruntime.InferenceSession, blocks: list[made.Samples]
) -> made.Samples:
    stream = ActivityStream(session)
    found = [activity for block in blocks for activity in stream.push(block)]
    return np.concatenate([a.probabilities for a in [*found, *stream.finish()]])


def test_probabilities_are_the_packages(vad_session: onnxruntime.InferenceSession) -> None:
    samples = clip()
    assert len(samples) == GOLDEN["samples"]
    found = probabilities_of(vad_session, [samples])
    assert np.abs(found - GOLDEN["probabilities"]).max() < 2e-6  # the golden has six digits


def test_size_of_blocks_does_not_matter(vad_session: onnxruntime.InferenceSession) -> None:
    samples = np.tile(clip(), 3)  # longer than one call of the model
    whole = probabilities_of(vad_session, [samples])
    pieces = np.split(samples, [1, 300, 8_000, 262_144, 262_145])
    assert np.array_equal(probabilities_of(vad_session, pieces), whole)


def test_levels_are_mean_squares(vad_session: onnxruntime.InferenceSession) -> None:
    stream = ActivityStream(vad_session)
    assert stream.push(made.tone(1.0)) == []
    (activity,) = stream.finish()
    assert activity.levels[5] == pytest.approx(0.045, rel=0.02)
    assert len(activity.levels) == 32


def test_nothing_gives_nothing(vad_session: onnxruntime.InferenceSession) -> None:
    assert ActivityStream(vad_session).finish() == []
    assert SpanMachine(Vad()).finish(0) == []
