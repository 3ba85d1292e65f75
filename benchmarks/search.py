"""Search over 100,000 turns with filters, and an hour of talk into the index: processor seconds.

The turns are random vectors with words of a small vocabulary, half of them of another owner; they
lie in the SQLite file and in qdrant's shard, as in service. The encoder is the real one, after
`./just glagol models build e5 --fetch`. Bars: 60 ms for 95 of 100 searches, 15 s for the hour.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import report

from glagol.embed.engine import Embedder
from glagol.rag.library import Library
from glagol.rag.scope import Scope
from glagol.rag.store import Store
from glagol.rag.turns import Recording, Turn
from glagol.registry.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
TURNS = 100_000
EACH = 500
SEARCHES = 200
HOUR = 600
SYLLABLES = [a + b for a in "бвгдклмнпрст" for b in "аео"]


def word(chance: random.Random) -> str:
    """One of a few thousand words; short ones are frequent, as in talk."""
    return "".join(chance.choices(SYLLABLES, k=chance.choice((1, 2, 2, 2, 3))))


def sentence(chance: random.Random, words: int) -> str:
    """Some words."""
    return " ".join(word(chance) for _ in range(words))


def fill(folder: Path, model: str, size: int, turns: int) -> None:
    """The SQLite file; the shard is made from it at the next opening."""
    chance = random.Random(1)  # noqa: S311
    store, rows = Store(folder), np.random.default_rng(1)
    for number in range(turns // EACH):
        said = tuple(
            Turn(6.0 * n, 6.0 * n + 5, f"голос {n % 5}", n % 2, sentence(chance, 17), 0.9)
            for n in range(EACH)
        )
        day = f"2026-{number % 12 + 1:02d}-01"
        owner, tags = "ab"[number % 2], (f"тег {number % 7}",)
        about = Recording(f"r{number}", owner, "папка", f"запись {number}", day, said, tags)
        vectors = rows.standard_normal((EACH, size)).astype("f4")
        store.put(about, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), model)
    store.close()


def resident() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Fill, search, index an hour, and store the figures."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    embedder = Embedder.open(Registry.load(ROOT), model="e5", variant="cpu-int8")
    size = embedder.parameters.dimensions
    with tempfile.TemporaryDirectory() as place:
        empty = Library(Path(place, "empty"), embedder)
        fill(Path(place, "index"), empty.model, size, turns)
        began = time.process_time()
        library = Library(Path(place, "index"), embedder)
        opened_s = time.process_time() - began
        chance = random.Random(2)  # noqa: S311
        spent: list[float] = []
        scope = Scope(owners=("a",), speakers=("голос 1", "голос 2"), since="2026-03-01")
        library.search("раз", scope)
        for _ in range(SEARCHES):
            query = sentence(chance, chance.randint(2, 7))
            began = time.process_time()
            library.search(query, scope)
            spent.append(time.process_time() - began)
        memory = resident()
        library.close()
        said = tuple(
            Turn(6.0 * n, 6.0 * n + 5, f"голос {n % 3}", -1, sentence(chance, 17))
            for n in range(HOUR)
        )
        began = time.process_time()
        empty.put(Recording("hour", "", "", "час разговора", "2026-03-12", said))
        hour_s = time.process_time() - began
        empty.close()
    figures = {
        "turns": turns,
        "shard made again, CPU s": opened_s,
        "search, CPU ms, median": 1000 * statistics.median(spent),
        "search, CPU ms, p95": 1000 * statistics.quantiles(spent, n=20)[-1],
        "memory, MB": memory,
        f"hour of talk ({HOUR} turns), CPU s": hour_s,
    }
    report.write("search", figures)


if __name__ == "__main__":
    main()
