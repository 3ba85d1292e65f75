"""What uploads promise to fill, and whose promises they are.

An upload takes its room when it begins, in bytes and as one of `UPLOADS_MAX`; it counts as at least
`LEAST_BYTES`, so that uploads of nothing are not free. Each owner has a share of both. Without keys
the notes on the disk have no owner; then this process remembers which address began which upload,
and those of before its start belong to no address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["LEAST_BYTES", "UPLOADS_MAX", "Promised"]

UPLOADS_MAX: Final = 1024
LEAST_BYTES: Final = 64 * 1024
_REMEDY: Final = "finish and delete one of yours, then try again"


class Promised:
    """Whose uploads are whose.

    Args:
        alone: The part that one owner may have alone.
    """

    def __init__(self, alone: float = ALONE) -> None:
        self._alone = alone
        self._owners: dict[str, str] = {}

    def add(self, upload_id: str, owner: str) -> None:
        """Note an upload that has begun."""
        self._owners[upload_id] = owner

    def admit(
        self, owner: str, length: int, uploads: Sequence[tuple[str, str, int]], quota_bytes: int
    ) -> None:
        """See that `owner` may begin an upload of `length` bytes.

        Args:
            owner: As shares count it.
            length: Of the new upload.
            uploads: Id, owner by its note, and length of each that is there.
            quota_bytes: What all may promise together.

        Raises:
            LimitError: `spool_full`, `share_used`, `busy`.
        """
        known = {upload_id: self._owners.get(upload_id, noted) for upload_id, noted, _ in uploads}
        self._owners = {each: found for each, found in known.items() if found}
        sizes = {upload_id: _counted(length) for upload_id, _, length in uploads}
        mine = [upload_id for upload_id, found in known.items() if found == owner]
        promised, mine_bytes = sum(sizes.values()), sum(sizes[each] for each in mine)
        if promised + length > quota_bytes:
            raise LimitError(
                "spool_full",
                f"uploads would take more than {quota_bytes} bytes",
                "finish or delete others first, or raise spool_bytes in policy.toml",
            )
        if not allowed(UPLOADS_MAX, len(known), len(mine), 1, self._alone):
            raise refusal("uploads", len(mine), _REMEDY)
        if not allowed(quota_bytes, promised, mine_bytes, _counted(length), self._alone):
            raise refusal("the bytes that uploads may take", mine_bytes, _REMEDY)


def _counted(length: int) -> int:
    return max(length, LEAST_BYTES)
