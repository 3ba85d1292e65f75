"""Runs a built Whisper from memory, as the service does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glagol.runtime.ort import onnxruntime as ort


def session(artifacts: Mapping[str, bytes], name: str) -> ort.InferenceSession:
    """Open one graph of a set of artifacts, with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = artifacts[f"{name}.data"]
    options.add_external_initializers_from_files_in_memory([f"{name}.data"], [data], [len(data)])
    return ort.InferenceSession(artifacts[f"{name}.onnx"], options, ["CPUExecutionProvider"])


def encode(artifacts: Mapping[str, bytes], mel: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of the encoder by name for a log-mel [mels, F]."""
    opened = session(artifacts, "encoder")
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, {"mel": mel[None]}), strict=True))


@dataclass
class State:
    """A decoder with its cache, which it writes in place."""

    opened: ort.InferenceSession
    cross: Mapping[str, np.ndarray]
    beams: int = 1
    count: int = 0
    cache: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make an empty cache."""
        for value in self.opened.get_inputs():
            if value.name.startswith("self_"):
                kind = np.float16 if "float16" in value.type else np.float32
                self.cache[value.name] = np.zeros((self.beams, *value.shape[1:]), kind)

    def step(
        self, tokens: Sequence[Sequence[int]], at: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits [B, K, V] and queries [B, S, A, 64] of tokens [B, S]."""
        rows = np.array(tokens, np.int64)
        size, before = rows.shape[1], self.count
        self.count += size
        feeds = {
            "tokens": rows,
            "past": np.full(self.beams, self.count - 1, np.int32),
            "total": np.array([self.count], np.int32),
            "positions": np.tile(np.arange(before, self.count), (self.beams, 1)),
            "at": np.array(range(size) if at is None else at, np.int64),
        }
        binding = self.opened.io_binding()
        for name, value in {**feeds, **self.cross}.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
        for name, value in self.cache.items():
            place = ort.OrtValue.ortvalue_from_numpy(value)
            binding.bind_ortvalue_input(name, place)
            binding.bind_ortvalue_output(f"{name}_out", place)
        for name in ("logits", "queries"):
            binding.bind_output(name, "cpu")
        self.opened.run_with_iobinding(binding)
        logits, queries = binding.copy_outputs_to_cpu()[-2:]
        return logits, queries
