"""Batch windows of several callers into one encoder call, for devices that need large batches.

There is no batching delay: a window that finds the device idle runs immediately, and windows that
arrive while the device is busy form the next batch. So a window waits only for the calls that were
in line before it, at most one for each bucket of lengths.

Every call of a bucket has the same shape, [windows, frames]; rows without a window are zeros.
Memory therefore does not grow with the variety of lengths. The shape decides which kernels run, so
a result does not depend on the other rows of the call. When the device's memory does not suffice,
the call is repeated in halves, and later calls are as small.
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
"""Makes an array of float32 zeros of the given shape."""

WINDOWS = 8
"""Windows of one call. The figure is for GPUs with 12 GB and more; it was not measured."""

FRAMES = 320
"""Mel frames by which buckets grow, 3.2 s: eight buckets up to 25 s."""

OUT_OF_MEMORY = ("out of memory", "failed to allocate memory", "cudaerrormemoryallocation")


def _zeros(shape: Sequence[int]) -> Array:
    return np.zeros(shape, np.float32)


class Tally:
    """Counts the calls of an encoder and their windows; safe from any thread.

    Attributes:
        calls: number of calls.
        windows: number of windows in all calls; `windows / calls` is the mean fill of a call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.windows = 0

    def add(self, windows: int) -> None:
        """Count one call with this number of windows."""
        with self._lock:
            self.calls += 1
            self.windows += windows


@dataclass(slots=True, eq=False)
class _Group:
    """Windows of one batch; `done` is set when `outputs` or `error` is set."""

    windows: list[Array] = field(default_factory=list)
    outputs: list[Array] = field(default_factory=list)
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Encodes single windows from many threads in common calls of the encoder.

    Args:
        encode: runs the encoder; never called by two threads at a time.
        room: allocates the batch for a call of `encode`.
        windows: rows of one call.
        frames: mel frames by which buckets grow.

    Attributes:
        windows: rows of one call now; halved each time the device's memory did not suffice.
        tally: counts of calls and windows.
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
        """Make a batcher for an encoder on CUDA; batches are in pinned memory if ORT offers it."""
        encoder = Bound(session, pinned_memory(CUDA))
        return cls(encoder, encoder.room, windows=windows)

    def __call__(self, features: Array) -> Array:
        """Encode one window.

        Args:
            features: float32 [L, F], L > 0.

        Returns:
            float32 [T, C], the valid frames.

        Raises:
            HostError: `vram_too_small`, the device's memory is too small for one window.
        """
        bucket = -(-len(features) // self._frames)
        with self._lock:
            group = self._open.get(bucket)
            is_first = group is None
            if group is None:
                group = self._open[bucket] = _Group()
            place = len(group.windows)
            group.windows.append(features)
            if len(group.windows) >= self.windows:
                del self._open[bucket]
        if is_first:
            self._run(group, bucket)
        else:
            group.done.wait()
        if group.error is not None:
            raise group.error
        return group.outputs[place]

    def _run(self, group: _Group, bucket: int) -> None:
        """Wait for the device, take the group out of the open ones, and encode it."""
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
        """The outputs of each window, computed in as many calls as the memory requires."""
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
                        "free memory of the GPU, raise the limit, or choose device cpu",
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
    """Whether an error means that memory ran out; ONNX Runtime shows that in the message only."""
    message = str(error).lower()
    return any(words in message for words in OUT_OF_MEMORY)
