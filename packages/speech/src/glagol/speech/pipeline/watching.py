"""The blocks of a recording, while the caller wants them and nothing vital is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.core.errors import HostError
from glagol.speech.output.notices import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from glagol.speech.audio.source import AudioSource
    from glagol.speech.types import Array

__all__ = ["stop_if", "watched"]


def watched(
    source: AudioSource, cancelled: Callable[[], bool] | None, *, strict: bool
) -> Iterator[Array]:
    """The blocks of `source`.

    Raises:
        HostError: `cancelled`.
        InputError: with `strict`, by the code of the first notice.
    """
    for block in source:
        stop_if(cancelled)
        if strict:
            refuse(source.warnings)
        yield block
    if strict:
        refuse(source.warnings)


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """End the work if it is wanted no longer.

    Raises:
        HostError: `cancelled`.
    """
    if cancelled is not None and cancelled():
        raise HostError("cancelled", "the transcription was cancelled", "send it again if needed")
