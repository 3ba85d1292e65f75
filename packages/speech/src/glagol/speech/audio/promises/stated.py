"""Read the exact length that a container states.

FFmpeg reads a truncated file as a shorter one, and estimates durations by bit rate. So the stated
length is read here and compared with the decoded length afterwards. Nothing here refuses a
recording: a header that cannot be parsed states nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Protocol

__all__ = ["NOTHING", "Seekable", "Stated", "size_of"]


class Seekable(Protocol):
    """What is needed of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position and return it."""

    def tell(self) -> int:
        """Where the next byte is read."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What a container states about its sound, and what its readers must see instead.

    Attributes:
        skip: bytes at the beginning that are left out; `end` and `patches` count from behind them.
        end: position where the file ends for FFmpeg, bytes; None leaves it where it is.
        patches: bytes that FFmpeg sees instead of wrong sizes, by position.
        missing: a phrase about bytes that are promised and not there; empty when all are.
        share: missing seconds for each second that is there, where bytes are seconds.
        seconds: the exact duration that is stated, or that the bytes have; None when unknown.
        counted: whether FFmpeg's own duration of the stream is a count, no estimate by bit rate.
        remark: a phrase about sound that the header does not describe; empty when there is none.
        searched: packets that may hold other sound than the header says, of a WAV file of plain
            samples, which can be read in packets of any size; 0 for everything else.
    """

    skip: int = 0
    end: int | None = None
    patches: tuple[tuple[int, bytes], ...] = ()
    missing: str = ""
    share: float | None = None
    seconds: float | None = None
    counted: bool = False
    remark: str = ""
    searched: int = 0


NOTHING = Stated()
"""What a container states that cannot tell its length."""


def size_of(file: Seekable) -> int:
    """Bytes of the file."""
    return file.seek(0, io.SEEK_END)
