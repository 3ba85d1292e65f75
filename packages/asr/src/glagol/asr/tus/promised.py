"""What uploads promise to fill, and whose promises they are.

An upload takes its room when it begins, in bytes and as one of `UPLOADS_MAX`; it counts as at least
`LEAST_BYTES`, so that uploads of nothing are not free. Each owner has a share of both. Without keys
the notes on the disk have no owner; then this process remembers which address began which upload,
and those of before its start belong to no address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["LEAST_BYTES", "UPLOADS_MAX", "Promise", "Promised"]

UPLOADS_MAX: Final = 1024
LEAST_BYTES: Final = 64 * 1024
_REMEDY: Final = "finish and delete one of yours, then try again"


class Promise(NamedTuple):
    """What one upload promises: whose it is, as shares count it, and its length in bytes."""

    owner: str
    length: int


class Promised:
    """The promises of the uploads that are there.

    Args:
        alone: The part that one owner may have alone.
    """

    def __init__(self, alone: float = ALONE) -> None:
        self._alone = alone
        self._known: dict[str, Promise] = {}

    def add(self, upload_id: str, owner: str, length: int) -> None:
        """Note an upload that has begun."""
        self._known[upload_id] = Promise(owner, length)

    def of(self, upload_id: str) -> Promise | None:
        """The promise of an upload, if it is known; a promise never changes."""
        return self._known.get(upload_id)

    def admit(
        self, owner: str, length: int, uploads: Mapping[str, Promise], quota_bytes: int
    ) -> None:
        """See that `owner` may begin an upload of `length` bytes.

        Args:
            owner: As shares count it.
            length: Of the new upload.
            uploads: All that are there, by id; others are forgotten here.
            quota_bytes: What all may promise together.

        Raises:
            LimitError: `spool_full`, `share_used`, `busy`.
        """
        self._known = dict(uploads)
        least = min(LEAST_BYTES, quota_bytes // UPLOADS_MAX)
        mine = [max(each.length, least) for each in uploads.values() if each.owner == owner]
        promised = sum(max(each.length, least) for each in uploads.values())
        if promised + length > quota_bytes:
            raise LimitError(
                "spool_full",
                f"uploads would take more than {quota_bytes} bytes",
                "finish or delete others first, or raise spool_bytes in policy.toml",
            )
        if not allowed(UPLOADS_MAX, len(uploads), len(mine), 1, self._alone):
            raise refusal("uploads", len(mine), _REMEDY)
        if not allowed(quota_bytes, promised, sum(mine), max(length, least), self._alone):
            raise refusal("bytes of uploads", sum(mine), _REMEDY)
