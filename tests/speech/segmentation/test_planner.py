"""Plans: every sample in one core or dropped, bounded windows, silence before speech."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.segmentation.planner import Chunk, PlanDigest, Planner, Rule
from glagol.speech.segmentation.ring_buffer import RingBuffer
from glagol.speech.types import Span
from glagol.speech.vad.model import FRAME, Activity

RATE = 16_000
RULE = Rule()


def seconds(span: Span) -> tuple[float, float]:
    return span.start / RATE, span.end / RATE


def activity_of(total: int, spans: list[Span], seed: int = 0) -> Activity:
    """Strong voice inside the spans, weak outside, a little noise on both."""
    count = -(-total // FRAME)
    middles = np.arange(count) * FRAME + FRAME // 2
    inside = np.zeros(count, bool)
    for span in spans:
        inside |= (middles >= span.start) & (middles < span.end)
    noise = np.random.default_rng(seed).uniform(0.5, 1.0, count).astype(np.float32)
    return Activity(
        np.where(inside, 0.9, 0.05).astype(np.float32) * noise,
        np.where(inside, 1e-2, 1e-6).astype(np.float32) * noise,
    )


def planned(total: int, spans: list[Span], step: int) -> tuple[list[Chunk], Planner]:
    """Feed a planner in steps of some samples, as a stream would, and check what it may read."""
    planner = Planner(RULE)
    activity = activity_of(total, spans)
    chunks: list[Chunk] = []
    given_spans = frames = 0
    tape_start = 0
    for now in range(step, total, step):
        upto = now // FRAME
        planner.observe(Activity(activity.probabilities[frames:upto], activity.levels[frames:upto]))
        frames = max(frames, upto)
        # spans are reported when they are over, and nothing is settled beyond a running one
        settled = upto * FRAME
        new = []
        for span in spans[given_spans:]:
            if span.end > settled:
                settled = min(settled, span.start)
                break
            new.append(span)
        given_spans += len(new)
        for chunk in planner.advance(new, settled):
            assert tape_start <= chunk.window.start
            assert chunk.window.end <= now
            chunks.append(chunk)
        tape_start = planner.needed
    planner.observe(Activity(activity.probabilities[frames:], activity.levels[frames:]))
    chunks += planner.finish(spans[given_spans:], total)
    return chunks, planner


@st.composite
def recordings(draw: st.DrawFn) -> tuple[int, list[Span]]:
    """Speech spans with gaps, from a blink to a minute."""
    at = 0
    spans = []
    for gap, length in draw(
        st.lists(
            st.tuples(
                st.one_of(st.integers(0, 8_000), st.integers(0, 4 * RATE)),
                st.one_of(st.integers(4_000, 3 * RATE), st.integers(1, 22 * RATE)),
            ),
            max_size=25,
        )
    ):
        spans.append(Span(at + gap, at + gap + length))
        at += gap + length
    return max(1, at + draw(st.integers(0, 6 * RATE))), spans


@settings(max_examples=150, deadline=None)
@given(recordings(), st.sampled_from([RATE, 16 * RATE + 5, 10**9]))
def test_every_sample_is_in_one_core_or_dropped(
    recording: tuple[int, list[Span]], step: int
) -> None:
    total, spans = recording
    chunks, planner = planned(total, spans, step)
    cores = [chunk.core for chunk in chunks]
    assert planner.decoded == sum(map(len, cores))
    assert planner.decoded + planner.dropped == total
    assert all(len(core) > 0 for core in cores)
    assert all(left.end <= right.start for left, right in pairwise(cores))
    for span in spans:  # speech is never dropped
        covered = sum(max(0, min(c.end, span.end) - max(c.start, span.start)) for c in cores)
        assert covered == len(span)
    for chunk in chunks:
        window, core = chunk.window, chunk.core
        assert 0 <= window.start <= core.start < core.end <= window.end <= total
        assert len(window) <= 25 * RATE
        assert core.start - window.start in (0, RATE)  # a lead where speech was cut


@settings(max_examples=60, deadline=None)
@given(recordings())
def test_plan_does_not_depend_on_the_stream(recording: tuple[int, list[Span]]) -> None:
    total, spans = recording
    plans = [planned(total, spans, step)[0] for step in (RATE, 7 * RATE + 3, 10**9)]
    assert plans[0] == plans[1] == plans[2]


def test_short_gaps_stay_and_long_ones_go() -> None:
    spans = [Span(RATE, 3 * RATE), Span(4 * RATE, 6 * RATE), Span(20 * RATE, 22 * RATE)]
    chunks, planner = planned(30 * RATE, spans, RATE)
    assert [seconds(chunk.core) for chunk in chunks] == [(0.7, 6.3), (19.7, 22.3)]
    assert planner.dropped == 30 * RATE - round((5.6 + 2.6) * RATE)


def test_the_widest_late_silence_is_the_cut() -> None:
    speech = [(0.0, 6.0), (7.2, 15.5), (16.0, 18.0), (18.9, 21.0), (21.5, 40.0)]
    spans = [Span(round(start * RATE), round(end * RATE)) for start, end in speech]
    chunks, _ = planned(40 * RATE, spans, RATE)
    assert seconds(chunks[0].core) == (0.0, 18.3)
    assert chunks[0].window == chunks[0].core  # a cut in silence needs no overlap
    assert chunks[1].core.start == round(18.6 * RATE)


def test_an_early_silence_is_better_than_a_word() -> None:
    spans = [Span(0, 9 * RATE), Span(round(9.8 * RATE), 40 * RATE)]
    chunks, _ = planned(40 * RATE, spans, RATE)
    assert chunks[0].core.end == round(9.3 * RATE)


def test_unbroken_speech_is_cut_at_its_weakest_with_overlap() -> None:
    total = 60 * RATE
    spans = [Span(0, total)]
    activity = activity_of(total, spans)
    weak = 20 * RATE // FRAME
    activity.probabilities[weak - 3 : weak + 4] = 0.2
    activity.levels[weak - 3 : weak + 4] = 1e-5
    planner = Planner(RULE)
    planner.observe(activity)
    chunks = list(planner.finish(spans, total))
    assert abs(chunks[0].core.end - 20 * RATE) <= FRAME
    for left, right in pairwise(chunks):
        assert left.core.end == right.core.start
        assert left.window.end - left.core.end == RATE
        assert right.core.start - right.window.start == RATE
    assert planner.dropped == 0


def test_silence_alone_is_dropped_as_it_comes() -> None:
    planner = Planner(RULE)
    assert list(planner.advance([], 3_600 * RATE)) == []
    assert planner.needed >= 3_599 * RATE
    assert list(planner.finish([], 3_601 * RATE)) == []
    assert (planner.decoded, planner.dropped) == (0, 3_601 * RATE)


def test_digest_tells_plans_apart() -> None:
    def digest(*cores: Span, total: int = 100) -> str:
        digest = PlanDigest()
        for core in cores:
            digest.add(Chunk(core, core))
        return digest.finish(total)

    digests = {
        digest(),
        digest(total=101),
        digest(Span(0, 50)),
        digest(Span(0, 51)),
        digest(Span(0, 50), Span(50, 100)),
    }
    assert len(digests) == 5
    assert digest(Span(0, 50)) == digest(Span(0, 50))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.data())
def test_tape_reads_what_was_written(lengths: list[int], data: st.DataObject) -> None:
    whole = np.arange(sum(lengths), dtype=np.float32)
    buffer = RingBuffer()
    for block in np.split(whole, np.cumsum(lengths)[:-1]):
        buffer.append(block)
    first = data.draw(st.integers(0, len(whole)))
    buffer.forget(first)
    assert buffer.start <= first
    last = data.draw(st.integers(first, len(whole)))
    assert np.array_equal(buffer.read(Span(first, last)), whole[first:last])
    with pytest.raises(IndexError):
        buffer.read(Span(first, len(whole) + 1))
