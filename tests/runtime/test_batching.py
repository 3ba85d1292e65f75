"""Batches: what is in them, what comes out of them, and what happens when memory runs out.

The device is the CPU in float32, whose batches are exact, or a stand-in that counts and fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import homes
from glagol.core.errors import HostError
from glagol.registry.registry import Registry
from glagol.runtime.batching import Batcher, _Group
from glagol.runtime.cuda import CPU
from glagol.runtime.io_binding import Bound, Lengths, pinned_memory
from glagol.runtime.session import artifact, open_session
from glagol.runtime.tensors import read_float32
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.types import Array
from sounds import samples


class Device:
    """Gives each window's frames back, in batches; may be held, and has room for `room` rows."""

    def __init__(self, room: int = 99) -> None:
        self.room = room
        self.shapes: list[tuple[int, ...]] = []
        self.filled: list[int] = []
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Lock()
        self.error: Exception | None = None

    def __call__(self, features: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        assert self.busy.acquire(blocking=False), "two calls at a time"
        try:
            self.entered.set()
            assert self.free.wait(10)
            if self.error is not None:
                raise self.error
            if len(features) > self.room:
                raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for 1")
            self.shapes.append(features.shape)
            self.filled.append(int((lengths > 0).sum()))
            return features, lengths
        finally:
            self.busy.release()


def test_calls_and_the_windows_in_them_are_counted() -> None:
    """Three callers find a busy device: one call for the first, one for the others."""
    device = Device()
    batcher = Batcher(device, windows=4)
    device.free.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batcher, window(10))
        assert device.entered.wait(10)
        others = [pool.submit(batcher, window(10)) for _ in range(2)]
        while len(batcher._open.get(1, _Group()).windows) < 2:
            pass
        device.free.set()
        for each in (first, *others):
            each.result(10)
    assert (batcher.tally.calls, batcher.tally.windows) == (2, 3)


def window(length: int, value: float = 1.0) -> Array:
    return np.full((length, 4), value, np.float32)


def together(batcher: Batcher, device: Device, windows: list[Array]) -> list[Array]:
    """Send windows while the device is busy with one more."""
    device.free.clear()
    device.entered.clear()
    with ThreadPoolExecutor(len(windows) + 1) as threads:
        first = threads.submit(batcher, window(5))
        assert device.entered.wait(10)
        sent = [threads.submit(batcher, each) for each in windows]
        while sum(len(group.windows) for group in batcher._open.values()) < min(
            len(windows), batcher.windows
        ):
            threading.Event().wait(0.001)
        device.free.set()
        first.result(10)
        return [each.result(10) for each in sent]


def test_what_comes_while_the_device_is_busy_goes_together() -> None:
    """One call for all, of the bucket's one shape; every caller gets its own rows."""
    device = Device()
    batcher = Batcher(device, windows=4, frames=10)
    found = together(batcher, device, [window(size, size) for size in (1, 9, 10)])
    assert [len(each) for each in found] == [1, 9, 10]
    assert all((each == len(each)).all() for each in found)
    assert device.filled == [1, 3]
    assert device.shapes == [(4, 10, 4)] * 2
    batcher(window(11))
    assert device.shapes[-1] == (4, 20, 4)


def test_real_windows_are_what_they_are_alone(registry: Registry) -> None:
    """Eight threads on the real encoder: bit for bit equal to solo runs, in any batch."""
    blobs = registry.open(homes.MODEL, "cpu-fp32").blobs
    session = open_session(blobs, "encoder.onnx", device="cpu", threads=1)
    head = read_float32(artifact(blobs, "head.safetensors").data)
    frames = FrontEnd(head["window"], head["mel"])(np.tile(samples()[0], 3))
    cuts = [frames[at : at + size] for at in (0, 50) for size in (40, 300, 310, 320, 321)]
    encoder = Bound(session)
    batcher = Batcher(encoder, encoder.room, windows=3)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(batcher, cuts * 2))
    for cut, together in zip(cuts * 2, found, strict=True):
        lengths = np.array([len(cut)], np.int64)
        alone, counts = session.run(None, {"features": cut[np.newaxis], "lengths": lengths})
        assert together.tobytes() == alone[0, : counts[0]].tobytes()


def test_bound_calls_keep_what_they_gave(registry: Registry) -> None:
    """The first call of a shape learns its outputs' shape, later ones get a buffer."""
    blobs = registry.open(homes.MODEL, "cpu-fp32").blobs
    session = open_session(blobs, "encoder.onnx", device="cpu", threads=1)
    encoder, rng = Bound(session), np.random.default_rng(1)
    kept: list[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]] = []
    for frames in (99, 99, 50, 99):
        features = encoder.room((2, frames, 64))
        assert not features.any()
        features[...] = rng.standard_normal(features.shape)
        lengths = np.array([frames, frames - 9], np.int64)
        expected = session.run(None, {"features": features, "lengths": lengths})
        kept.append((encoder(features, lengths), expected))
    for found, expected in kept:
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_memory_is_pinned_only_where_a_device_offers_it() -> None:
    assert pinned_memory("no such provider") is None
    assert pinned_memory(CPU) is None


def test_when_memory_does_not_suffice_batches_get_smaller() -> None:
    """Every window is served, in halves; later calls begin small."""
    device = Device(room=2)
    batcher = Batcher(device, windows=8, frames=10)
    found = together(batcher, device, [window(size, size) for size in (1, 2, 3, 4, 5)])
    assert all((each == size).all() and len(each) == size for size, each in enumerate(found, 1))
    assert batcher.windows == 2
    assert {shape[0] for shape in device.shapes} == {2}


def test_a_window_that_does_not_fit_fails_and_the_next_is_served() -> None:
    """A clear error for this window; the next one is served when there is memory again."""
    device = Device(room=0)
    batcher = Batcher(device, windows=4, frames=10)
    with pytest.raises(HostError, match="10 mel frames") as caught:
        batcher(window(7))
    assert caught.value.code == "vram_too_small"
    device.room = 1
    assert len(batcher(window(7))) == 7


def test_any_other_error_reaches_every_caller_of_the_batch() -> None:
    """No caller waits for ever."""
    device = Device()
    batcher = Batcher(device, windows=4, frames=10)
    device.error = ValueError("broken")
    device.free.clear()
    failing: Callable[[Array], str] = lambda each: str(_error(batcher, each))  # noqa: E731
    with ThreadPoolExecutor(3) as threads:
        sent = [threads.submit(failing, window(3)) for _ in range(3)]
        device.free.set()
        assert {each.result(10) for each in sent} == {"broken"}
    device.error = None
    assert len(batcher(window(3))) == 3


def _error(batcher: Batcher, features: Array) -> Exception | None:
    try:
        batcher(features)
    except ValueError as error:
        return error
    return None
