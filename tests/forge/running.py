"""Runs built artifacts from memory, as the service does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from glagol.runtime.kernels.int8 import saturates
from glagol.runtime.ort import onnxruntime as ort

exact_int8 = pytest.mark.skipif(
    saturates(),
    reason="the processor: ONNX Runtime's int8 products saturate without VNNI",
)
"""Of a test that judges int8 by ONNX Runtime's own products."""


def session(artifacts: Mapping[str, bytes], *, threads: int = 1) -> ort.InferenceSession:
    """Open the encoder of a set of artifacts."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    data = artifacts["encoder.data"]
    options.add_external_initializers_from_files_in_memory(["encoder.data"], [data], [len(data)])
    return ort.InferenceSession(artifacts["encoder.onnx"], options, ["CPUExecutionProvider"])


def run(
    opened: ort.InferenceSession, features: np.ndarray, lengths: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the output [B, T, C] and the lengths [B] for a batch."""
    feeds = {"features": features, "lengths": np.array(lengths, np.int64)}
    output, ends = opened.run(None, feeds)
    return output, ends


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference over the largest value that is expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
