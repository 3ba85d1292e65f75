"""The seam between the bytes of a recording and the pipeline: opened audio, and what opens it.

`glagol.speech.audio.decode.decode` opens audio in this process. Servers open untrusted recordings
in a child process; the pipeline sees the same type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from glagol.speech.types import Array, Notice

__all__ = ["AudioSource", "Opener", "Paced"]


class AudioSource(Protocol):
    """Opened audio: an iterator of blocks at 16 kHz, about a second each.

    A block is float32 [n] mono, or [n, C] where the channels are kept apart; values in [-1, 1] up
    to resampling ripple.
    """

    @property
    def declared_s(self) -> float | None:
        """Duration that the container states, seconds; None when it states none."""

    @property
    def channels(self) -> int:
        """Channels of a block; 1 unless they are kept apart."""

    @property
    def warnings(self) -> Sequence[Notice]:
        """What was found missing or damaged up to now; complete after the last block."""

    def __iter__(self) -> Iterator[Array]:
        """The source itself."""

    def __next__(self) -> Array:
        """The next block.

        Raises:
            InputError, LimitError, HostError: as `Opener`.
        """

    def close(self) -> None:
        """Release the decoder; the file stays open."""


@runtime_checkable
class Paced(Protocol):
    """A source whose blocks come from another process, and may be late."""

    def ready(self) -> bool:
        """Whether the next block, the end or an error is there; waits a moment for it."""

    def arrived(self) -> bool:
        """The same without waiting."""


class Opener(Protocol):
    """Opens audio; see `glagol.speech.audio.decode.decode` for arguments and errors."""

    def __call__(
        self,
        file: BinaryIO,
        *,
        max_seconds: float,
        split: bool = False,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> AudioSource:
        """Open audio; its samples are decoded while it is iterated."""
