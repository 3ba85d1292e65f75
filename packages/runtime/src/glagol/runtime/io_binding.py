"""Call an encoder with bound tensors: one copy to the device, one copy back.

A GPU copies from and to pinned memory directly. ONNX Runtime offers such memory for devices that it
lists; for others, ordinary memory is used. This code has not run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from glagol.runtime.ort import onnxruntime
from glagol.runtime.tensors import Array

if TYPE_CHECKING:
    from collections.abc import Sequence

Lengths: TypeAlias = npt.NDArray[np.int64]


def pinned_memory(provider: str) -> onnxruntime.OrtMemoryInfo | None:
    """Host memory that the provider's device accesses directly; None if ONNX Runtime lists none.

    Args:
        provider: ONNX Runtime's name of the provider.
    """
    kind = onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE
    found = (d.memory_info(kind) for d in onnxruntime.get_ep_devices() if d.ep_name == provider)
    return next(found, None)


class Bound:
    """Runs an encoder on batches; used by one thread at a time.

    Args:
        session: the encoder's session; its first output is float32, its second int64.
        memory: where batches and outputs are allocated; None for ordinary memory.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        memory: onnxruntime.OrtMemoryInfo | None = None,
    ) -> None:
        self._session = session
        self._memory = memory
        self._outputs, self._counts = (output.name for output in session.get_outputs())
        # Shape of the outputs by shape of the features, known after the first call.
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

    def room(self, shape: Sequence[int]) -> Array:
        """Allocate float32 zeros [shape] in the memory that the device reads fastest."""
        zeros = _view(self._allocated(shape))
        zeros[...] = 0
        return zeros

    def __call__(self, features: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        """Run the encoder.

        Args:
            features: float32 [B, L, F]; fastest when allocated by `room`.
            lengths: int64 [B], mel frames of each row.

        Returns:
            Outputs float32 [B, T, C] and encoder frames int64 [B].
        """
        binding = self._session.io_binding()
        binding.bind_cpu_input("features", features)
        binding.bind_cpu_input("lengths", lengths)
        known = self._shapes.get(features.shape)
        if known is None:
            binding.bind_output(self._outputs, "cpu")
        else:
            binding.bind_ortvalue_output(self._outputs, self._allocated(known))
        binding.bind_output(self._counts, "cpu")
        self._session.run_with_iobinding(binding)
        outputs, counts = binding.get_outputs()  # in the order in which they were bound
        self._shapes[features.shape] = tuple(outputs.shape())
        return _view(outputs), counts.numpy()

    def _allocated(self, shape: Sequence[int]) -> onnxruntime.OrtValue:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            list(shape), np.float32, memory_info=self._memory
        )


def _view(value: onnxruntime.OrtValue) -> Array:
    """The value's memory as an array without a copy; the array keeps the value alive."""
    shape = value.shape()
    memory = (ctypes.c_float * math.prod(shape)).from_address(value.data_ptr())
    memory.owner = value
    return np.frombuffer(memory, np.float32).reshape(shape)
