"""Room in the spool that resumable uploads reserve, with a share for each owner.

An upload reserves its length in bytes, and one of `UPLOADS_MAX` places, when it begins. It counts
as at least `LEAST_BYTES`, so that empty uploads are not free. Each owner has a share of both.
Without keys the files on the disk name no owner; then this process remembers which client address
began which upload, and uploads from before its start belong to no address.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["LEAST_BYTES", "UPLOADS_MAX", "Reservation", "Reservations"]

UPLOADS_MAX: Final = 1024
LEAST_BYTES: Final = 64 * 1024
_REMEDY: Final = "finish and delete one of yours, then try again"


class Reservation(NamedTuple):
    """Room of one upload: its owner, as shares count it, and its length in bytes."""

    owner: str
    length: int


class Reservations:
    """The reservations of all uploads that exist; safe from any thread.

    Args:
        alone: The part of all room that one owner may reserve.

    Attributes:
        missing: Reserved bytes that have not arrived, as of the last `seen`.
    """

    def __init__(self, alone: float = ALONE) -> None:
        self.missing = 0
        self._alone = alone
        self._known: dict[str, Reservation] = {}
        self._beginning: set[str] = set()  # not on the disk yet
        self._lock = threading.Lock()

    def of(self, upload_id: str) -> Reservation | None:
        """The reservation of an upload, if it is known; it never changes."""
        return self._known.get(upload_id)

    def seen(self, uploads: Mapping[str, Reservation], missing: int) -> None:
        """Record all uploads that are on the disk, from any process."""
        with self._lock:
            own = {each: self._known[each] for each in self._beginning}
            self._known = {**uploads, **own}
            self.missing = missing + sum(each.length for each in own.values())

    def begin(self, upload_id: str, reservation: Reservation, quota_bytes: int) -> None:
        """Reserve room for a new upload; `begun` or `drop` must follow.

        Args:
            upload_id: Its id.
            reservation: Its owner and length.
            quota_bytes: What all uploads may reserve together.

        Raises:
            LimitError: `spool_full`, `share_used`, `busy`.
        """
        with self._lock:
            self._admit(reservation, quota_bytes)
            self._known[upload_id] = reservation
            self._beginning.add(upload_id)
            self.missing += reservation.length

    def begun(self, upload_id: str) -> None:
        """The upload is on the disk."""
        with self._lock:
            self._beginning.discard(upload_id)

    def drop(self, upload_id: str) -> None:
        """The upload is gone."""
        with self._lock:
            self._known.pop(upload_id, None)
            self._beginning.discard(upload_id)

    def _admit(self, new: Reservation, quota_bytes: int) -> None:
        least = min(LEAST_BYTES, quota_bytes // UPLOADS_MAX)
        mine = [max(p.length, least) for p in self._known.values() if p.owner == new.owner]
        used = sum(max(p.length, least) for p in self._known.values())
        if used + new.length > quota_bytes:
            raise LimitError(
                "spool_full",
                f"uploads would take more than {quota_bytes} bytes",
                "finish or delete others first, or raise spool_bytes in policy.toml",
            )
        if not allowed(UPLOADS_MAX, len(self._known), len(mine), 1, self._alone):
            raise refusal("uploads", len(mine), _REMEDY)
        if not allowed(quota_bytes, used, sum(mine), max(new.length, least), self._alone):
            raise refusal("bytes of uploads", sum(mine), _REMEDY)
