"""Speech recognition from a file object to a transcript; numpy and ONNX Runtime only.

Knows no network, environment, clock or path. Start with `Recognizer.open(registry)`.
"""

from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options, Progress, Segment, Transcript, Word

__all__ = ["Options", "Progress", "Recognizer", "Segment", "Transcript", "Word"]
