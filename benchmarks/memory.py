"""Memory of a process that transcribes an hour with a model of v3 size, and what it starts with.

Usage: benchmarks/run memory -- [--minutes N] [--variant cpu-int8]

`private` is what only this process has (RssAnon), `whole` adds the files it has mapped at that
moment (VmHWM), as `ps` and container limits see it. The bar: whole <= 450 MB with cpu-int8.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import recordings
import report
import v3

POLL_S = 0.05


def peaks(process: subprocess.Popen[str]) -> dict[str, float]:
    """Megabytes (1e6) at the most until the process ends."""
    status = Path(f"/proc/{process.pid}/status")
    private = whole = 0
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            break
        fields = dict(line.split(":", 1) for line in lines)
        if "RssAnon" not in fields:
            break
        private = max(private, int(fields["RssAnon"].split()[0]) * 1024)
        whole = max(whole, int(fields["VmHWM"].split()[0]) * 1024)
        time.sleep(POLL_S)
    return {"private_mb": round(private / 1e6, 1), "whole_mb": round(whole / 1e6, 1)}


def transcribed(path: Path, variant: str, home: Path) -> dict[str, float]:
    """Peaks of `glagol transcribe`, and how fast it was."""
    command = [sys.executable, "-m", "glagol.cli", "transcribe", "--home", str(home)]
    command += ["--model", v3.ID, "--variant", variant, "--format", "json", str(path)]
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as out,
        subprocess.Popen(command, stdout=out, text=True) as process,
    ):
        found = peaks(process)
        seconds = time.perf_counter() - start
        assert process.wait() == 0
        out.seek(0)
        answer = json.load(out)
    return found | {
        "seconds": round(seconds, 1),
        "rtfx": round(answer["duration"] / seconds, 1),
        "characters": len(answer["text"]),
    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--variant", default="cpu-int8", choices=tuple(v3.VARIANTS))
    options = parser.parse_args()
    home = v3.ours()
    with tempfile.TemporaryDirectory() as place:
        short = recordings.write(Path(place) / "short.wav", 20)
        path = recordings.write(Path(place) / "long.wav", options.minutes * 60)
        figures = {
            "variant": options.variant,
            "20 s": transcribed(short, options.variant, home),
            f"{options.minutes:g} min": transcribed(path, options.variant, home),
            "bar_whole_mb": 450,
        }
    report.write("memory", figures)


if __name__ == "__main__":
    main()
