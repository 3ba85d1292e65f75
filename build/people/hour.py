"""An hour of a person's prompts through the command: memory, words, and what the seams lose.

Arguments: SPEECH MODEL VARIANT. SPEECH is a folder with one clip of `joined.py`. Exits with 1 above
the memory bar.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import prompts
from score import distance, words

HOME = Path(os.environ.get("GLAGOL_HOME", Path(__file__).resolve().parents[2]))
RSS_MAX_MB = 400


def main(speech: str, model: str, variant: str) -> int:
    """Transcribe the clip; 1 when it took too much memory."""
    (clip,) = prompts.prompts(Path(speech))
    command = [str(HOME / "build/python"), "asr-cpu", "-m", "glagol.cli", "transcribe", clip.file]
    command += ["--format", "json"]
    command += ["--language", clip.language, "--home", str(HOME)]
    command += ["--model", model, "--variant", variant, "--threads", "1"]
    began = time.perf_counter()
    answer = subprocess.run(command, check=True, capture_output=True).stdout
    wall_s = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(answer)
    said, got = words(clip.text, clip.language), words(found["text"], clip.language)
    spoken_s = found["coverage"]["decoded"]
    rss_mb = used.ru_maxrss * 1024 / 1e6
    sys.stdout.write(
        f"{found['duration']:.0f} s of audio, {spoken_s:.0f} s of speech:"
        f" {rss_mb:.0f} MB at most,"
        f" {used.ru_utime + used.ru_stime:.0f} processor s, {wall_s:.0f} s by the clock;"
        f" {len(got)} words of {len(said)}, WER {100 * distance(said, got) / len(said):.1f} %\n"
    )
    return int(rss_mb > RSS_MAX_MB)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
