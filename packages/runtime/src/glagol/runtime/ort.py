"""Import ONNX Runtime with its telemetry off; no other module may import it.

The official Linux wheels contain a telemetry client that is on by default: on import it writes a
device id under ~/.cache and sends events over HTTPS (`Privacy.md` in the wheel). The variable below
is the documented switch for the whole client; it is read when the library is loaded. Decision:
docs/adr/0003.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]
