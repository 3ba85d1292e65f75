"""Find the end of a preallocated file: zeros behind its last byte are not sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["KEPT", "end_of_bytes"]

BLOCK = 1 << 20
KEPT = 16
"""Zeros that may belong to the last frame."""

LEAST = 512
"""Fewer zeros are left alone."""


def end_of_bytes(file: Seekable, size: int) -> int:
    """Where the bytes end without the zeros behind them; `size` where there are few.

    Args:
        file: seekable, of a format in which no sound is a run of zeros.
        size: where to look backwards from.
    """
    end = size
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        block = file.read(end - start)
        left = len(block.rstrip(b"\0"))
        end = start + left
        if left:
            break
    return min(size, end + KEPT) if size - end >= LEAST else size
