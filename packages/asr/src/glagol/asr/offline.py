"""Keeps the libraries under us from calling home; for every process that loads a model.

onnxruntime's official wheels for Linux, 1.31 among them, carry a telemetry client that is on by
default: it writes to ~/.cache/Microsoft and TMPDIR and sends events over HTTPS. Its own Privacy.md
names the one complete switch, an environment variable that is read when the library is loaded.
"""

from __future__ import annotations

import os

__all__ = ["forbid_telemetry"]


def forbid_telemetry() -> None:
    """Switch the telemetry off; to be called before onnxruntime is imported."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
