"""Batch windows of several callers into one encoder call, for devices that need large batches.

There is no batching delay: a window that finds the device idle runs immediately, and windows that
arrive while the device is busy form the next batch. So a window waits for the calls before it only,
one for each bucket.

Every call of a bucket has the same shape, [windows, frames], with empty rows where callers are
missing. Memory therefore does not grow with the variety of lengths, and as the shape decides which
kernels run, a result does not depend on the other rows of the call. When the device's memory does
not suffice, the call is repeated in halves, and calls stay that small.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from glagol.core.errors import HostError
from glagol.runtime.cuda import CUDA
from glagol.runtime.io_binding import Bound, Lengths, pinned_memory
from glagol.runtime.tensors import Array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.runtime.ort import onnxruntime

Encode: TypeAlias = Callable[[Array, Lengths], tuple[Array, Lengths]]
"""Features float32 [B, L, F] and lengths [B] to outputs float32 [B, T, C] and lengths [B]."""

Room: TypeAlias = "Callable[[Sequence[int]], Array]"
"""A shape to zeros float32 of it."""

WINDOWS = 8
"""Of one call. A figure for cards of 12 GB and more, not measured."""

FRAMES = 320
"""Mel frames by which buckets grow, 3.2 s: eight buckets up to 25 s."""

OUT_OF_MEMORY = ("out of memory", "failed to allocate memory", "cudaerrormemoryallocation")


def _zeros(shape: Sequence[int]) -> Array:
    return np.zeros(shape, np.float32)


class Tally:
    """Counts calls of an encoder and the windows in them; from any thread.

    Attributes:
        calls: how often it ran.
        windows: how many windows that was; divided by `calls`, how full the calls were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.windows = 0

    def add(self, windows: int) -> None:
        """Count one call with so many windows."""
        with self._lock:
            self.calls += 1
            self.windows += windows


@dataclass(slots=True, eq=False)
class _Group:
    """Windows that go together; `done` is set when outputs or the error are there."""

    windows: list[Array] = field(default_factory=list)
    outputs: list[Array] = field(default_factory=list)
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Call it from many threads, each with one window.

    Args:
        encode: runs the encoder; never called by two threads at a time.
        room: makes the batches that `encode` is given.
        windows: rows of one call.
        frames: mel frames by which buckets grow.

    Attributes:
        windows: rows of one call now; fewer once memory did not suffice.
        tally: what was encoded.
    """

    def __init__(
        self,
        encode: Encode,
        room: Room = _zeros,
        *,
        windows: int = WINDOWS,
        frames: int = FRAMES,
    ) -> None:
        self.tally = Tally()
        self._encode = encode
        self._room = room
        self._frames = frames
        self.windows = windows
        self._lock = threading.Lock()
        self._device = threading.Lock()
        self._open: dict[int, _Group] = {}

    @classmethod
    def on_card(cls, session: onnxruntime.InferenceSession, *, windows: int = WINDOWS) -> Batcher:
        """For an encoder on CUDA, through pinned memory where ONNX Runtime has some."""
        encoder = Bound(session, pinned_memory(CUDA))
        return cls(encoder, encoder.room, windows=windows)

    def __call__(self, features: Array) -> Array:
        """Encode one window.

        Args:
            features: float32 [L, F], L > 0.

        Returns:
            float32 [T, C], the valid frames.

        Raises:
            HostError: `vram_too_small`, not even one window fits.
        """
        bucket = -(-len(features) // self._frames)
        with self._lock:
            group = self._open.get(bucket)
            leads = group is None
            if group is None:
                group = self._open[bucket] = _Group()
            place = len(group.windows)
            group.windows.append(features)
            if len(group.windows) >= self.windows:
                del self._open[bucket]
        if leads:
            self._run(group, bucket)
        else:
            group.done.wait()
        if group.error is not None:
            raise group.error
        return group.outputs[place]

    def _run(self, group: _Group, bucket: int) -> None:
        """Wait for the device, close the group, encode it."""
        with self._device:
            with self._lock:
                if self._open.get(bucket) is group:
                    del self._open[bucket]
            try:
                group.outputs = self._encoded(group.windows, bucket * self._frames)
            except Exception as error:  # noqa: BLE001 - raised again in every caller
                group.error = error
            finally:
                group.done.set()

    def _encoded(self, windows: Sequence[Array], frames: int) -> list[Array]:
        """The outputs of each window, in as many calls as memory asks for."""
        found: list[Array] = []
        while len(found) < len(windows):
            rows = windows[len(found) : len(found) + self.windows]
            try:
                found += self._together(rows, frames)
            except Exception as error:
                if not _out_of_memory(error):
                    raise
                if self.windows == 1:
                    raise HostError(
                        "vram_too_small",
                        f"one window of {frames} mel frames does not fit into the device's memory",
                        "free memory of the card, raise the limit, or choose device cpu",
                    ) from error
                self.windows = max(1, self.windows // 2)
        return found

    def _together(self, windows: Sequence[Array], frames: int) -> list[Array]:
        batch = self._room((self.windows, frames, windows[0].shape[1]))
        lengths = np.zeros(self.windows, np.int64)
        for row, window in enumerate(windows):
            batch[row, : len(window)] = window
            lengths[row] = len(window)
        outputs, counts = self._encode(batch, lengths)
        self.tally.add(len(windows))
        return [outputs[row, : counts[row]] for row in range(len(windows))]


def _out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out; only its message shows that."""
    message = str(error).lower()
    return any(words in message for words in OUT_OF_MEMORY)
