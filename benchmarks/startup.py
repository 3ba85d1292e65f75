"""Process start to first transcript, import time of the serving path, and what it must not import.

Usage: benchmarks/run startup -- [--v3]

With --v3 also a model of v3's size (`v3.py`; needs the benchmarks' environment: ./just env bench).
Every byte of the model is hashed before use. The bars: first transcript <= 1.5 s, int8 of v3's
size included, import <= 0.5 s, no torch.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parent.parent
CLIP = next((ROOT / "models/gigaam-nano/golden").glob("clip.*"))
IMPORT = """
import json, sys, time
start = time.perf_counter()
from glagol.speech.pipeline.recognizer import Recognizer
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "torch": "torch" in sys.modules}))
"""


def spent() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def transcribe(variant: str, *more: str) -> dict[str, float]:
    """From starting the command to its exit with a transcript of the bundled clip, five times.

    Processor seconds are less disturbed by others than those on the clock; two cores share them.
    """
    command = [sys.executable, "-m", "glagol.cli", "transcribe", "--variant", variant, *more]
    command += [str(CLIP)]
    wall, processor = [], []
    for _ in range(5):
        start, before = time.perf_counter(), spent()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall.append(time.perf_counter() - start)
        processor.append(spent() - before)
        assert done.stdout.strip() or more, "no transcript"
    return {
        "wall_median_s": round(statistics.median(wall), 3),
        "wall_best_s": round(min(wall), 3),
        "processor_best_s": round(min(processor), 3),
    }


def main() -> None:
    """Print and store the medians."""
    imports = []
    for _ in range(7):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
        )
        imports.append(json.loads(done.stdout))
    figures: dict[str, object] = {
        "import_s": statistics.median(i["seconds"] for i in imports),
        "torch_imported": any(i["torch"] for i in imports),
    }
    for variant in ("cpu-fp32", "cpu-int8"):
        figures[f"first_transcript_{variant}"] = transcribe(variant)
    if "--v3" in sys.argv:
        import v3

        at = ("--home", str(v3.ours()), "--model", v3.ID)
        for variant in v3.VARIANTS:
            figures[f"first_transcript_v3_{variant}"] = transcribe(variant, *at)
    report.write("startup", figures)


if __name__ == "__main__":
    main()
