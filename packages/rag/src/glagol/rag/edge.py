"""qdrant inside this process (qdrant-edge), as a vector index.

The shard holds ids, vectors and the fields that a scope filters by, and no text. Its write-ahead
log is off, because a log would keep deleted vectors. So after a crash, or when the store changed
while the shard was closed, the shard is built again from the store. The file `changes` beside it
holds the state of the store that the shard has. Behaviour was measured with qdrant-edge-py 0.9.0,
which its project calls a beta.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import qdrant_edge as qdrant

from glagol.core.errors import HostError
from glagol.core.files import write_atomic
from glagol.rag.store import fields_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.rag.scope import Scope
    from glagol.rag.store import Fields, Store
    from glagol.rag.turns import Recording

__all__ = ["Edge"]

VECTOR: Final = "dense"
BATCH: Final = 500
_FIELDS: Final = ("owner", "folder", "recording", "speaker", "channel", "tags")


class Edge:
    """A shard in a folder of its own; one process may have it open at a time.

    Args:
        folder: The folder of the shard; created when absent.
        store: The store from which the shard is built.
        size: Numbers in a vector.

    Raises:
        HostError: `host_io`, another process has the shard open.
    """

    def __init__(self, folder: Path, store: Store, size: int) -> None:
        self._folder = folder
        self._store = store
        self._size = size
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise HostError(
                "host_io",
                f"another process has the index {folder}",
                "stop it, or name another directory",
            ) from error
        self._shard = self._opened()

    def put(self, recording: Recording, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """As `VectorIndex.put`, vectors [N, D]."""
        self._delete(recording.id)
        self._add(
            (each, fields_of(recording, turn), vector)
            for each, turn, vector in zip(ids, recording.turns, vectors, strict=True)
        )
        self._seen()

    def forget(self, recording: str) -> None:
        """As `VectorIndex.forget`."""
        self._delete(recording)
        self._shard.optimize()
        self._seen()

    def nearest(
        self, vector: NDArray[np.float32], scope: Scope, limit: int
    ) -> list[tuple[int, float]]:
        """As `VectorIndex.nearest`, vector [D]."""
        query = qdrant.Query.Nearest(vector.tolist(), using=VECTOR)
        wanted = qdrant.QueryRequest(limit=limit, query=query, filter=_filter(scope))
        found = [(int(point.id), float(point.score)) for point in self._shard.query(wanted)]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def close(self) -> None:
        """Write pending changes, close the shard and release its lock; may be called twice."""
        if self._lock < 0:
            return
        self._shard.flush()
        self._shard.close()
        os.close(self._lock)
        self._lock = -1

    def _opened(self) -> Any:
        """Open the shard if it has every change of the store; else build a new one."""
        shard, seen = self._folder / "shard", self._folder / "changes"
        state = seen.read_text() if seen.is_file() else ""
        if shard.is_dir() and state == self._state():
            return qdrant.EdgeShard.load(str(shard))
        seen.unlink(missing_ok=True)
        shutil.rmtree(shard, ignore_errors=True)
        shard.mkdir(mode=0o700)
        parameters = qdrant.EdgeVectorParams(size=self._size, distance=qdrant.Distance.Cosine)
        optimizers = qdrant.EdgeOptimizersConfig(deleted_threshold=0.0, vacuum_min_vector_number=1)
        config = qdrant.EdgeConfig(
            vectors={VECTOR: parameters}, wal_enabled=False, optimizers=optimizers
        )
        self._shard = qdrant.EdgeShard.create(str(shard), config)
        for name in _FIELDS:
            field = qdrant.UpdateOperation.create_field_index(name, qdrant.KeywordIndexParams())
            self._shard.update(field)
        for name in ("day", "confidence"):
            field = qdrant.UpdateOperation.create_field_index(name, qdrant.FloatIndexParams())
            self._shard.update(field)
        rows = self._store.vectors()
        self._add((number, about, np.frombuffer(data, "<f4")) for number, about, data in rows)
        self._seen()
        return self._shard

    def _add(self, rows: Iterable[tuple[int, Fields, NDArray[np.float32]]]) -> None:
        points: list[Any] = []
        for number, about, vector in rows:
            point = {VECTOR: vector.tolist()}
            points.append(qdrant.Point(number, point, _payload(about)))
            if len(points) == BATCH:
                self._shard.update(qdrant.UpdateOperation.upsert_points(points))
                points = []
        if points:
            self._shard.update(qdrant.UpdateOperation.upsert_points(points))

    def _delete(self, recording: str) -> None:
        condition = qdrant.FieldCondition("recording", match=qdrant.MatchValue(recording))
        gone = qdrant.Filter(must=[condition])
        self._shard.update(qdrant.UpdateOperation.delete_points_by_filter(gone))

    def _state(self) -> str:
        return f"{self._store.fact('changes')} {self._store.fact('model')} {self._size}"

    def _seen(self) -> None:
        self._shard.flush()
        write_atomic(self._folder / "changes", self._state().encode())


def _day(date: str) -> float:
    """A date as a number that has the same order; 0 when there is none."""
    digits = date.replace("-", "")
    return float(digits) if digits.isdigit() else 0.0


def _payload(about: Fields) -> dict[str, Any]:
    payload = {name: getattr(about, name) for name in _FIELDS}
    payload |= {"channel": str(about.channel), "tags": list(about.tags), "day": _day(about.date)}
    return payload if about.confidence is None else {**payload, "confidence": about.confidence}


def _filter(scope: Scope) -> Any:
    conditions: list[Any] = []
    channels = None if scope.channels is None else [str(each) for each in scope.channels]
    allowed = (
        *(scope.owners, scope.folders, scope.recordings, scope.speakers),
        *(channels, scope.tags),
    )
    for name, values in zip(_FIELDS, allowed, strict=True):
        if values is not None:  # an empty list matches nothing
            conditions.append(qdrant.FieldCondition(name, match=qdrant.MatchAny(list(values))))
    if scope.confidence is not None:
        sure = qdrant.RangeFloat(gte=scope.confidence)
        conditions.append(qdrant.FieldCondition("confidence", range=sure))
    if scope.since or scope.until:
        span = qdrant.RangeFloat(
            gte=_day(scope.since) if scope.since else None,
            lte=_day(scope.until) if scope.until else None,
        )
        conditions.append(qdrant.FieldCondition("day", range=span))
    return qdrant.Filter(must=conditions) if conditions else None
