"""The blocks of a source, as long as they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.core.errors import HostError
from glagol.speech.audio.source import Paced
from glagol.speech.output.notices import refuse
from glagol.speech.types import Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from glagol.speech.audio.source import AudioSource
    from glagol.speech.types import Array

__all__ = ["opening", "stop_if", "watched"]


def watched(
    source: AudioSource, cancelled: Callable[[], bool] | None, *, strict: bool
) -> Iterator[Array | None]:
    """The blocks of `source`, float32 [n] or [n, C]; None while the next one is late.

    Raises:
        InputError, LimitError: as the source; with `strict` by the code of a notice.
        HostError: `cancelled`; as the source.
    """
    while True:
        yield from _late(source, cancelled)
        block = next(source, None)
        if strict:
            refuse(source.warnings)
        if block is None:
            return
        yield block


def opening(source: AudioSource, cancelled: Callable[[], bool] | None) -> Iterator[Step]:
    """A step that waits, as long as `source` is not open yet.

    Raises:
        HostError: `cancelled`.
    """
    for _ in _late(source, cancelled):
        yield Step((), Progress(0.0, None), waiting=True)


def _late(source: AudioSource, cancelled: Callable[[], bool] | None) -> Iterator[None]:
    """None, as long as what comes next from `source` is not there."""
    stop_if(cancelled)
    while isinstance(source, Paced) and not source.ready():
        yield None
        stop_if(cancelled)


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """Stop the work if it is no longer wanted.

    Raises:
        HostError: `cancelled`.
    """
    if cancelled is not None and cancelled():
        raise HostError("cancelled", "the transcription was cancelled", "send it again if needed")
