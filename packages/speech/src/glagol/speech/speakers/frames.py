"""The time grid of the segmentation: windows, frames, and what the classes of a frame mean.

All windows begin on the grid of the frames, so frame f of window w is frame w * step + f of the
recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glagol.speech.types import SAMPLE_RATE

__all__ = [
    "ACTIVE",
    "FRAME",
    "FRAMES",
    "WINDOW",
    "Numbers",
    "Run",
    "count",
    "edge",
    "runs",
    "seconds",
]

Numbers: TypeAlias = NDArray[Any]
"""An array of any type of number."""

WINDOW: Final = 160_000
"""Samples: 10 s. The network norms by the window, so it always gets that many."""

FRAMES: Final = 589
"""Frames of a window."""

FRAME: Final = 270
"""Samples between two frames: 16.875 ms."""

RECEPTIVE: Final = 991
"""Samples that a frame sees."""

ACTIVE: Final[Numbers] = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool
)
"""Which of the three local speakers speak, by class."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames [start, end) with something in common."""

    start: int
    end: int

    def __len__(self) -> int:
        """Number of frames."""
        return self.end - self.start


def edge(frame: int) -> int:
    """The sample where a frame begins, half a frame before the middle of what it sees."""
    return frame * FRAME + RECEPTIVE // 2 - FRAME // 2


def seconds(frame: int) -> float:
    """The time where a frame of the recording begins; the first one begins with the recording."""
    return 0.0 if frame == 0 else edge(frame) / SAMPLE_RATE


def count(samples: int) -> int:
    """Frames that begin inside a recording of so many samples."""
    return max(0, -((edge(0) - samples) // FRAME))


def runs(mask: Numbers) -> list[Run]:
    """Where a mask bool [n] is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [Run(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
