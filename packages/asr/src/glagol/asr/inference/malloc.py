"""Return freed memory to the operating system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["give_back"]


def give_back() -> None:
    """Return free memory by `malloc_trim` (glibc); does nothing elsewhere.

    Many concurrent uploads fragment the heap, and glibc would keep that memory. Takes milliseconds.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
