"""The port of vector indices, and the exact one, which compares with every vector."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.rag.scope import Scope
    from glagol.rag.store import Store
    from glagol.rag.turns import Recording

__all__ = ["Exact", "VectorIndex"]


class VectorIndex(Protocol):
    """Vectors of turns, found by nearness; derived from the store and made again from it."""

    def put(self, recording: Recording, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Take the turns of a recording, vectors float32 [N, D], in the place of older ones."""

    def forget(self, recording: str) -> None:
        """Lose every vector of a recording; no file keeps a byte of it."""

    def nearest(
        self, vector: NDArray[np.float32], scope: Scope, limit: int
    ) -> list[tuple[int, float]]:
        """Turn ids inside a scope and their cosine to a vector [D], the nearest first."""

    def close(self) -> None:
        """Give up files."""


class Exact:
    """All vectors in memory; 154 MB for 100,000 turns of 384 numbers.

    Args:
        store: Holds the vectors.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = ""
        self._lock = threading.Lock()
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def put(self, recording: Recording, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """As `VectorIndex.put` [N, D]: the store has them already."""

    def forget(self, recording: str) -> None:
        """As `VectorIndex.forget`: the store has lost them, and they are read again."""
        del recording
        with self._lock:
            self._changes = ""
            self._read()

    def nearest(
        self, vector: NDArray[np.float32], scope: Scope, limit: int
    ) -> list[tuple[int, float]]:
        """As `VectorIndex.nearest`, vector [D]."""
        with self._lock:
            self._read()
            known, vectors = self._ids, self._vectors
        allowed = self._store.ids(scope)
        places = np.searchsorted(known, allowed)
        inside = places < len(known)
        places = places[inside][known[places[inside]] == allowed[inside]]
        if not len(places):
            return []
        near = vectors if len(places) == len(known) else vectors[places]
        cosines = near @ vector
        few = min(limit, len(cosines))
        best = np.argpartition(-cosines, few - 1)[:few]
        ids = known[places[best]]
        order = np.lexsort((ids, -cosines[best]))
        return [(int(ids[n]), float(cosines[best[n]])) for n in order]

    def close(self) -> None:
        """Nothing is open."""

    def _read(self) -> None:
        changes = self._store.fact("changes")
        if changes == self._changes:
            return
        rows = sorted((row[0], row[-1]) for row in self._store.vectors())
        self._ids = np.array([row[0] for row in rows], np.int64)
        data = b"".join(row[1] for row in rows)
        self._vectors = np.frombuffer(data, "<f4").reshape(len(rows), -1 if rows else 0)
        self._changes = changes
