"""Word starts of `onsets.py` beside those of CTranslate2's align, for the same tokens and sound.

Arguments: FOLDER MODEL. Exits with 1 when the 95th percentile of the differences is above the bar.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ctranslate2
import numpy as np

FRAME_MS = 20
BAR_MS = 20


def main(folder: str, model: str) -> int:
    """Print how far apart they are."""
    place = Path(folder)
    engine = ctranslate2.models.Whisper(model, compute_type="float32", intra_threads=1)
    apart: list[float] = []
    for row in json.loads((place / "onsets.json").read_text()):
        mel = ctranslate2.StorageView.from_array(np.load(place / row["mel"]))
        (found,) = engine.align(mel, row["start"], [row["tokens"]], row["frames"])
        rows, frames = np.array(found.alignments).T
        starts = frames[np.diff(rows, prepend=-1) > 0]
        pairs = zip(row["onsets"], starts, row["words"], strict=False)
        apart += [FRAME_MS * abs(float(a - b)) for a, b, word in pairs if word]
    high = float(np.percentile(apart, 95))
    sys.stdout.write(
        f"{len(apart)} word starts beside CTranslate2's: {np.mean(np.array(apart) == 0):.1%} equal,"
        f" 95th percentile {high:.0f} ms, at most {max(apart):.0f} ms\n"
    )
    return int(high > BAR_MS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
