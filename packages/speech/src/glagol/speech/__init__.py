"""Speech recognition from a file object to a transcript; numpy and ONNX Runtime only.

Knows no network, environment, clock or path. Start with `Recognizer.open(registry)`. The names
below are imported when they are first used, so that `glagol.speech.output.formats` loads no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glagol.speech.pipeline.recognizer import Recognizer
    from glagol.speech.types import Options, Progress, Segment, Transcript, Word

__all__ = ["Options", "Progress", "Recognizer", "Segment", "Transcript", "Word"]


def __getattr__(name: str) -> object:
    """Import one of the names above (PEP 562).

    Raises:
        AttributeError: There is no such name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from glagol.speech import types
    from glagol.speech.pipeline import recognizer

    return getattr(recognizer if name == "Recognizer" else types, name)
