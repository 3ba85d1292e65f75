"""One way to print and store a benchmark's figures, with the machine and versions beside them."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from glagol.runtime.kernels import amx
from glagol.runtime.kernels.choice import class_of

INT8_FLAGS = {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16"}
PACKAGES = ("numpy", "onnxruntime", "onnx-asr", "torch")
"""Packages whose versions are listed where they are installed."""

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, object]:
    """Processor, cores in reach, flags that decide int8 speed, and versions."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in lines.items()}
    flags = set(named.get("flags", "").split())
    return {
        "processor": named.get("model name", platform.processor() or "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "flags": sorted(flags & INT8_FLAGS),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    } | {package: version(package) for package in PACKAGES if find_spec(package.replace("-", "_"))}


def processor_class() -> str:
    """Name of this processor's class; elsewhere than on x86-64 Linux the machine's."""
    return class_of(amx.library_file()) if amx.here() == amx.SYSTEM else platform.machine()


def write(name: str, figures: dict[str, object]) -> None:
    """Print ``figures`` and store them as ``benchmarks/results/CLASS/NAME.json``.

    The class is this processor's (`glagol.runtime.kernels.choice`).
    """
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
    text = json.dumps({"machine": machine(), "figures": rounded}, indent=2, ensure_ascii=False)
    print(text)
    folder = RESULTS / processor_class()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
