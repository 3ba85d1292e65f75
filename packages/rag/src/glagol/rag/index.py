"""The interface of vector indices, and the exact index, which compares with every vector."""

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
    """Finds the turns whose vectors are nearest; all its data can be built again from the store."""

    def put(self, recording: Recording, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Replace the turns of a recording, with vectors float32 [N, D]."""

    def forget(self, recording: str) -> None:
        """Delete every vector of a recording, so that no file keeps a byte of them."""

    def nearest(
        self, vector: NDArray[np.float32], scope: Scope, limit: int
    ) -> list[tuple[int, float]]:
        """Ids of turns inside a scope with their cosine to a vector [D], the nearest first."""

    def close(self) -> None:
        """Close the files."""


class Exact:
    """An index with all vectors in memory: 154 MB for 100,000 turns of 384 numbers.

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
        """As `VectorIndex.put` [N, D]; does nothing, since the store has the vectors already."""

    def forget(self, recording: str) -> None:
        """As `VectorIndex.forget`; reads the vectors that are left from the store again."""
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
        """Do nothing: the index has no open file."""

    def _read(self) -> None:
        changes = self._store.fact("changes")
        if changes == self._changes:
            return
        rows = sorted((row[0], row[-1]) for row in self._store.vectors())
        self._ids = np.array([row[0] for row in rows], np.int64)
        data = b"".join(row[1] for row in rows)
        self._vectors = np.frombuffer(data, "<f4").reshape(len(rows), -1 if rows else 0)
        self._changes = changes
