"""An index of transcripts: put, forget, search."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from glagol.core.errors import HostError, InputError
from glagol.rag.edge import Edge
from glagol.rag.index import Exact
from glagol.rag.meaning import Meaning
from glagol.rag.mentions import counted, mentions
from glagol.rag.scope import Scope
from glagol.rag.store import Store
from glagol.rag.turns import CHUNKER, passage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.embed.engine import Embedder, Provenance
    from glagol.rag.index import VectorIndex
    from glagol.rag.mentions import Counts, Order
    from glagol.rag.store import Found
    from glagol.rag.turns import Recording

__all__ = ["QUERY_CHARACTERS_MAX", "Hit", "Library"]

QUERY_CHARACTERS_MAX: Final = 10_000
CANDIDATES: Final = 50
RRF: Final = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009)."""

NEIGHBOURS: Final = 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that was found, and why.

    Attributes:
        turn: What was said, where and when.
        by_meaning: Its rank among the nearest vectors, from 1; None when it is not among them.
        by_words: Its rank among the turns with words of the query, from 1, or None.
        around: The turn with its neighbours.
        certainty: How near it is to the query; to be compared with `Library.level`. None where it
            is not among the nearest.
    """

    turn: Found
    by_meaning: int | None
    by_words: int | None
    around: tuple[Found, ...]
    certainty: float | None = None


class Library:
    """Transcripts, searched by meaning and by words; safe from any thread.

    Args:
        folder: Folder of the index's files.
        embedder: Makes the vectors.
        kind: `edge` keeps vectors in a shard of qdrant, `exact` in memory.

    Attributes:
        embedder: The embedder.
        index: The index of the vectors.

    Raises:
        HostError: `not_ready`, another model made the vectors: `glagol index --again`;
            `host_io`, `disk_full`, or another process has the shard.
    """

    def __init__(
        self, folder: Path, embedder: Embedder, kind: Literal["edge", "exact"] = "edge"
    ) -> None:
        self.embedder = embedder
        self._meaning = Meaning(embedder)
        self._store = Store(folder)
        self._lock = threading.Lock()
        made = self._store.fact("model")
        if made and made != self.model:
            self._store.close()
            raise HostError(
                "not_ready",
                f"the index {folder} was made by another model, or by other rules",
                "remove the directory and index the transcripts again",
            )
        size = embedder.parameters.dimensions
        self.index: VectorIndex = (
            Edge(folder / "edge", self._store, size) if kind == "edge" else Exact(self._store)
        )

    @property
    def model(self) -> str:
        """Digest of all that the vectors depend on: the model's bytes and the rules of turns."""
        about = [CHUNKER, sorted(self.embedder.provenance.artifacts.items())]
        return hashlib.sha256(msgspec.json.encode(about)).hexdigest()

    @property
    def provenance(self) -> Provenance:
        """Which bytes make the vectors."""
        return self.embedder.provenance

    @property
    def level(self) -> float | None:
        """The certainty from which a hit may answer a question; None where it is not known."""
        return self._meaning.level

    def put(self, recording: Recording) -> bool:
        """Add a recording, or replace the one with the same id.

        Returns:
            Whether anything changed; nothing is done for a recording with the same digest.
        """
        if self._store.digest(recording.id) == recording.digest:
            return False
        texts = [passage(recording, turn) for turn in recording.turns]
        vectors = self.embedder.embed(texts, "passage")
        with self._lock:
            ids = self._store.put(recording, vectors, self.model)
            self.index.put(recording, ids, vectors)
        return True

    def forget(self, recording: str) -> bool:
        """Delete a recording from every file; returns whether the index had it."""
        with self._lock:
            there = self._store.forget(recording)
            if there:
                self.index.forget(recording)
        return there

    def search(self, query: str, scope: Scope, limit: int = 10) -> list[Hit]:
        """Find the turns that fit a query best: by meaning and by words, with both ranks fused.

        Text in double quotes must occur word for word, except for the endings of words.

        Raises:
            InputError: `text_empty`, `request_invalid`, the query says nothing or is too long.
        """
        ask = _short(query)
        if not ask.strip('" '):
            raise InputError("text_empty", "the query is empty", "ask for something")
        by_words = self._store.by_words(ask, scope, CANDIDATES)
        exact = ask.count('"') > 1
        nearest = [] if exact else self._nearest(ask, scope, CANDIDATES)
        near, cosines = [number for number, _ in nearest], dict(nearest)
        ranked = fused(near, by_words)[:limit]
        found = self._store.turns(ranked, scope)
        return [
            Hit(
                turn,
                _place(near, turn.id),
                _place(by_words, turn.id),
                tuple(self._store.around(turn, NEIGHBOURS)),
                self._certainty(ask, turn, cosines.get(turn.id)),
            )
            for turn in found
        ]

    def by_meaning(self, query: str, scope: Scope, limit: int) -> list[int]:
        """Ids of the turns whose vectors are nearest to that of a query."""
        return [number for number, _ in self._nearest(query, scope, limit)]

    def by_words(self, query: str, scope: Scope, limit: int) -> list[int]:
        """Ids of the turns that hold words of a query."""
        return self._store.by_words(query, scope, limit)

    def turns(self, ids: Sequence[int], scope: Scope) -> list[Found]:
        """Turns by id."""
        return self._store.turns(ids, scope)

    def counted(self, query: str, scope: Scope, by: Sequence[str] = ()) -> Counts:
        """As `mentions.counted`.

        Raises:
            InputError: `request_invalid`, there is no such facet, or the query is too long.
        """
        return counted(self._store, _short(query), scope, by)

    def mentions(self, query: str, scope: Scope, order: Order, limit: int = 10) -> list[Hit]:
        """As `mentions.mentions`, with neighbours.

        Raises:
            InputError: `request_invalid`, the query is too long.
        """
        found = mentions(self._store, _short(query), scope, order, limit)
        return [
            Hit(each, None, None, tuple(self._store.around(each, NEIGHBOURS))) for each in found
        ]

    def counts(self, scope: Scope) -> list[tuple[str, str, int, float]]:
        """Recording, title, turns and seconds of speech inside a scope."""
        return self._store.counts(scope)

    def _nearest(self, query: str, scope: Scope, limit: int) -> list[tuple[int, float]]:
        return self.index.nearest(self._meaning.vector(query), scope, limit)

    def _certainty(self, query: str, turn: Found, cosine: float | None) -> float | None:
        return None if cosine is None else self._meaning.certainty(cosine, query, turn.text)

    def close(self) -> None:
        """Write pending changes and close the files."""
        self.index.close()
        self._store.close()


def fused(*rankings: Sequence[int]) -> list[int]:
    """Fuse rankings by reciprocal ranks; an id that a ranking lacks gets no score from it."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, each in enumerate(ranking, 1):
            scores[each] = scores.get(each, 0.0) + 1 / (RRF + place)
    return sorted(scores, key=lambda each: (-scores[each], each))


def _short(query: str) -> str:
    ask = " ".join(query.split())
    if len(ask) > QUERY_CHARACTERS_MAX:
        raise InputError(
            "request_invalid",
            f"the query has {len(ask)} characters, the limit is {QUERY_CHARACTERS_MAX}",
            "ask in fewer words",
        )
    return ask


def _place(ranking: Sequence[int], each: int) -> int | None:
    return ranking.index(each) + 1 if each in ranking else None
