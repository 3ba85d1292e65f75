"""Voice activity detection, times real time on one core: our stream against a loop over frames.

Everything runs on the calling thread, so its CPU time is what counts and other load does not. With
the path of silero-vad's own `silero_vad.onnx` as argument the plain loop over it is measured too.
The bar: 500x.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import report

from glagol.registry.registry import Registry
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session
from glagol.speech.audio.decode import decode
from glagol.speech.types import SAMPLE_RATE, Array, Span
from glagol.speech.vad.model import CONTEXT, FRAME, ActivityStream
from glagol.speech.vad.spans import SpanMachine

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests/speech/golden/vad.flac"
SECONDS = 300
REPEATS = 5


def recording() -> Array:
    """The clip of the tests again and again, float32 [SECONDS * 16000]."""
    with CLIP.open("rb") as file:
        clip = np.concatenate(list(decode(file, max_seconds=60.0)))
    return np.resize(clip, SECONDS * SAMPLE_RATE)


def streamed(session: onnxruntime.InferenceSession, samples: Array) -> tuple[Array, list[Span]]:
    """Probabilities and spans as the service makes them, a second of audio at a time."""
    from glagol.speech.vad.config import Vad

    stream, machine = ActivityStream(session), SpanMachine(Vad())
    probabilities, spans = [], []
    for activity in (
        *(
            a
            for at in range(0, len(samples), SAMPLE_RATE)
            for a in stream.push(samples[at : at + SAMPLE_RATE])
        ),
        *stream.finish(),
    ):
        probabilities.append(activity.probabilities)
        spans += machine.push(activity.probabilities.tolist())
    return np.concatenate(probabilities), spans + machine.finish(len(samples))


def frames_of(samples: Array) -> Array:
    """Frames with context, float32 [n, 576]."""
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    contexts = np.vstack([np.zeros((1, CONTEXT), np.float32), frames[:-1, -CONTEXT:]])
    return np.hstack([contexts, frames])


def one_by_one(session: onnxruntime.InferenceSession, samples: Array) -> Array:
    """The sequence model called for every frame."""
    state = {"h": np.zeros((1, 1, 128), np.float32), "c": np.zeros((1, 1, 128), np.float32)}
    out = []
    for frame in frames_of(samples):
        value, state["h"], state["c"] = session.run(None, {"input": frame[np.newaxis], **state})
        out.append(value.reshape(-1)[0])
    return np.array(out, np.float32)


def plain(session: onnxruntime.InferenceSession, samples: Array) -> Array:
    """`silero_vad.onnx` called for every frame, as the package does."""
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)
    out = []
    for frame in frames_of(samples):
        value, state = session.run(None, {"input": frame[np.newaxis], "state": state, "sr": rate})
        out.append(value.reshape(-1)[0])
    return np.array(out, np.float32)


def speed(work: Callable[[], object]) -> tuple[float, float]:
    """Median and best of the times real time, by CPU time of this thread."""
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        found.append(SECONDS / (time.thread_time() - start))
    return statistics.median(found), max(found)


def main() -> None:
    """Print and store the speeds and the largest difference of probabilities."""
    registry = Registry.load(Path(os.environ.get("GLAGOL_HOME", ROOT)))
    blobs = registry.open("silero-vad").blobs
    session = open_session(blobs, next(iter(blobs)), device="cpu", threads=1)
    samples = recording()
    ours, spans = streamed(session, samples)
    rivals = {"loop_sequence_model": lambda: one_by_one(session, samples)}
    if len(sys.argv) > 1:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        other = onnxruntime.InferenceSession(sys.argv[1], options)
        rivals["loop_silero_vad_onnx"] = lambda: plain(other, samples)
    median, best = speed(lambda: streamed(session, samples))
    figures: dict[str, object] = {
        "seconds": SECONDS,
        "spans": len(spans),
        "x_real_time_median": median,
        "x_real_time_best": best,
        "bar": 500,
    }
    for name, work in rivals.items():
        rival, rival_best = speed(work)
        figures |= {
            f"{name}_x_real_time_median": rival,
            f"{name}_x_real_time_best": rival_best,
            f"ratio_to_{name}": median / rival,
            f"{name}_largest_difference": float(np.abs(work() - ours).max()),
        }
    report.write("vad", figures)


if __name__ == "__main__":
    main()
