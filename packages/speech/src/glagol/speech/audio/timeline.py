"""Place decoded frames at their time stamps: a sound at second t stands at second t.

Time stamps are trusted where they agree with each other. A gap becomes silence, a late start is
silence at the start, a small overlap is cut. A single stamp that disagrees with the following ones
is ignored; after a jump of the clock the new time is used, without silence.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer

    from glagol.speech.audio.findings import Findings
    from glagol.speech.audio.frames import Frame, Wide

__all__ = ["GAP_MAX_SECONDS", "START_MAX_SECONDS", "Timeline", "origin_of"]

TOLERANCE_SECONDS = 0.04
"""How far stamps may be off: rounding, jitter, encoder delay."""

CONFIRM_FRAMES = 4
"""Frames whose stamps must agree before one of them is believed."""

OVERLAP_SECONDS = 0.1
"""Longer overlaps are kept: it may be other sound. The next gap takes the time back."""

BACK_SECONDS = 2.0
"""Stamps that go back further are those of another clock: recordings that were joined."""

GAP_MAX_SECONDS = 7_200.0
"""Longer gaps are not filled."""

START_MAX_SECONDS = 600.0
"""A recording that begins later was cut out of a longer one: it begins at its own start."""

ZERO_BASED = frozenset({"mov", "matroska", "flv", "asf", "avi"})
"""Containers (FFmpeg's first names) whose time begins at zero; others begin where they begin."""

STAMPED = ZERO_BASED | {"mpegts", "mpeg", "ogg"}
"""Containers with clocks; the frames of others follow each other, so a gap is damage."""

MICROSECONDS = 1e6


def origin_of(container: InputContainer) -> float | None:
    """Which stamp is the recording's second 0; None for that of the first frame.

    Players show it so: MP4 and Matroska begin at zero, even where picture and sound come later;
    transport streams and the like begin with the first track that begins.
    """
    start = None if container.start_time is None else container.start_time / MICROSECONDS
    zero_based = _first_name(container) in ZERO_BASED
    if zero_based and (start is None or start <= START_MAX_SECONDS):
        return 0.0
    return start


def _first_name(container: InputContainer) -> str:
    return container.format.name.split(",")[0]


class Timeline:
    """Places the frames of one track by their time stamps.

    Args:
        container: whose track it is.
        limit_s: the longest accepted recording; None where there is no limit.
        findings: receives gaps and damage.

    Attributes:
        dropped: whether the last packets looked like frames and were none.
    """

    def __init__(
        self, container: InputContainer, limit_s: float | None, findings: Findings
    ) -> None:
        self._origin = origin_of(container)
        self._stamped = _first_name(container) in STAMPED
        self._limit = float("inf") if limit_s is None else limit_s
        self._findings = findings
        self._position = 0.0
        self._ahead = 0.0
        self.dropped = False
        self._window: deque[Frame] = deque()

    def place(self, frames: Iterable[Frame]) -> Iterator[tuple[int, Wide]]:
        """The sound without gaps.

        Args:
            frames: of one track, in the order of decoding.

        Yields:
            Rate in Hz and float64 [n, channels].
        """
        window = self._window
        for frame in frames:
            window.append(frame)
            while window and (len(window) >= CONFIRM_FRAMES or self._fits(window[0])):
                yield from self._next()
        while window:
            yield from self._next()

    def _fits(self, frame: Frame) -> bool:
        if frame.lost:
            return False
        offset = self._offset(frame, self._position)
        return offset is None or -self._ahead - TOLERANCE_SECONDS <= offset <= TOLERANCE_SECONDS

    def _offset(self, frame: Frame, position: float) -> float | None:
        """By how much the stamp is later than `position`, seconds."""
        if frame.stamp is None:
            return None
        if self._origin is None:
            self._origin = frame.stamp - position
        return frame.stamp - self._origin - position

    def _next(self) -> Iterator[tuple[int, Wide]]:
        """The first frame of the window, with what must come before it."""
        low, high = self._offsets()
        frame = self._window.popleft()
        if self._is_junk(frame):
            self.dropped = True
            return
        self.dropped = False
        samples, rate = frame.samples, frame.rate
        if low > TOLERANCE_SECONDS:
            yield from self._filled(low, frame)
        elif frame.lost:
            self._findings.damaged(self._position, frame.lost_s)
        if frame.hole_s:
            self._findings.damaged(self._position + frame.hole_at_s, frame.hole_s)
        if high < -self._ahead - TOLERANCE_SECONDS:
            samples = samples[self._overlapping(-high, rate) :]
        elif high > -TOLERANCE_SECONDS:
            self._ahead = 0.0
        self._position += len(samples) / rate
        if len(samples):
            yield rate, samples

    def _is_junk(self, frame: Frame) -> bool:
        """Whether a frame behind a loss is chance: bytes of something else look like frames.

        Only where nothing but the frames themselves says where they are.
        """
        if not frame.lost or self._stamped:
            return False
        behind = len(self._window)
        return sum(other.lost for other in self._window) > behind // 2 or not behind

    def _offsets(self) -> tuple[float, float]:
        """Least and largest offset in the window, as if its frames followed each other."""
        position, found = self._position, []
        for frame in self._window:
            offset = self._offset(frame, position)
            if offset is not None:
                found.append(offset)
            position += len(frame.samples) / frame.rate
        return (min(found), max(found)) if found else (0.0, 0.0)

    def _filled(self, gap: float, frame: Frame) -> Iterator[tuple[int, Wide]]:
        """Silence for a gap before `frame`, a second at a time; none where it is too long."""
        if gap > GAP_MAX_SECONDS or self._position + gap > self._limit:
            self._findings.jump(self._position, gap)
            self._origin = (self._origin or 0.0) + gap
            return
        if frame.lost or not self._stamped:
            self._findings.damaged(self._position, gap)
        elif self._position > 0:
            self._findings.gap(self._position, gap)
        left = round(gap * frame.rate)
        while left > 0:
            count = min(left, frame.rate)
            left -= count
            self._position += count / frame.rate
            yield frame.rate, np.zeros((count, frame.samples.shape[1]))

    def _overlapping(self, overlap: float, rate: int) -> int:
        """How many samples are cut off because the sound before them lasts too long."""
        if overlap <= OVERLAP_SECONDS:
            return round(overlap * rate)
        if overlap <= BACK_SECONDS:
            self._ahead = overlap
        else:
            self._origin = (self._origin or 0.0) - overlap
        return 0
