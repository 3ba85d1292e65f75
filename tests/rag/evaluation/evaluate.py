"""./just eval-search: how well search finds what the kept questions ask for, by kind and by way.

The index stays in `.work/eval-search`, so a second run costs the questions alone. Nothing here
depends on the clock or on how busy a machine is.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.embed.engine import Embedder
from glagol.rag.library import CANDIDATES, Library, fused
from glagol.rag.scope import Scope
from glagol.registry.registry import Registry
from rag.evaluation import corpus
from rag.evaluation.measures import NAMES, measured

if TYPE_CHECKING:
    from rag.evaluation.corpus import Question

ROOT: Final = Path(__file__).resolve().parents[3]
EVERYWHERE: Final = Scope()
MODEL: Final = "e5"
VARIANT: Final = "cpu-int8"
ASKED: Final = 6
"""Hits that an answer is made from."""

Ways = Mapping[str, Callable[[str], Sequence[object]]]


def ways(library: Library) -> Ways:
    """Rankings of turns, as recording and number, by each way.

    `dense` is the plain cosine, `meaning` the one that search uses, `hybrid` all of search.
    """
    embedder, index = library.embedder, library.index

    def shown(ids: Sequence[int]) -> list[object]:
        return [(turn.recording, turn.number) for turn in library.turns(ids, EVERYWHERE)]

    def dense(query: str) -> list[object]:
        (vector,) = embedder.embed([query], "query")
        return shown([number for number, _ in index.nearest(vector, EVERYWHERE, CANDIDATES)])

    def meaning(query: str) -> list[object]:
        return shown(library.by_meaning(query, EVERYWHERE, CANDIDATES))

    def words(query: str) -> list[object]:
        return shown(library.by_words(query, EVERYWHERE, CANDIDATES))

    def hybrid(query: str) -> list[object]:
        both = (library.by_meaning, library.by_words)
        return shown(fused(*(way(query, EVERYWHERE, CANDIDATES) for way in both)))

    return {"dense": dense, "meaning": meaning, "BM25": words, "hybrid": hybrid}


def table(found: Ways, questions: Sequence[Question]) -> str:
    """Means of every measure, by kind and way."""
    asked = [each for each in questions if each.gold]
    lines = [f"{'kind':<12}{'n':>5}  {'way':<8}" + "".join(f"{name:>11}" for name in NAMES)]
    rows = {way: [measured(rank(each.text), each.gold) for each in asked]
            for way, rank in found.items()}  # fmt: skip
    for kind in ("all", *corpus.KINDS[:-1]):
        chosen = [n for n, each in enumerate(asked) if kind in ("all", each.kind)]
        for way, values in rows.items():
            means = [statistics.fmean(values[n][at] for n in chosen) for at in range(len(NAMES))]
            figures = "".join(f"{mean:11.3f}" for mean in means)
            lines.append(f"{kind:<12}{len(chosen):>5}  {way:<8}{figures}")
    return "\n".join(lines)


def refusals(library: Library, questions: Sequence[Question]) -> str:
    """Which part of the questions is refused at each level, of those with an answer and without.

    The level in use was chosen on half of the questions; the last columns are the other half.
    """
    sure: dict[tuple[bool, bool], list[float]] = {}
    for each in questions:
        hits = library.search(each.text, EVERYWHERE, ASKED)
        found = [hit.certainty for hit in hits if hit.certainty is not None]
        other = hashlib.sha256(each.text.encode()).digest()[0] % 2 == 1
        sure.setdefault((bool(each.gold), other), []).append(max(found, default=0.0))
    columns = {
        "of right": sure[True, False] + sure[True, True],
        "of none": sure[False, False] + sure[False, True],
        "half, right": sure[True, True],
        "half, none": sure[False, True],
    }
    lines = [f"{'level':<8}" + "".join(f"{name:>14}" for name in columns)]
    for level in sorted({*(n / 100 for n in range(56, 72, 2)), library.level or 0.0}):
        parts = [statistics.fmean(one < level for one in values) for values in columns.values()]
        mark = "  in use" if level == library.level else ""
        lines.append(f"{level:<8.3f}" + "".join(f"{part:14.3f}" for part in parts) + mark)
    return "\n".join(lines)


def main() -> None:
    """Index what changed, and print the table."""
    kept = corpus.load()
    embedder = Embedder.open(Registry.load(ROOT), model=MODEL, variant=VARIANT)
    library = Library(ROOT / ".work" / "eval-search", embedder, "exact")
    try:
        for recording in kept.recordings:
            library.put(recording)
        turns = sum(len(each.turns) for each in kept.recordings)
        model = embedder.provenance.model
        sys.stdout.write(f"{turns} turns, {len(kept.questions)} questions, {model}\n")
        sys.stdout.write(table(ways(library), kept.questions) + "\n\n")
        sys.stdout.write(refusals(library, kept.questions) + "\n")
    finally:
        library.close()
