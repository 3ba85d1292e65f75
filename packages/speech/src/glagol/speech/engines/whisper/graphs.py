"""The encoder and the decoder: sessions, and the decoder's state on a cache that never moves.

On a CPU numpy owns every buffer, and ONNX Runtime reads and writes it in place (an OrtValue of an
array is a view): keys and values of the encoder are never copied, and the decoder's cache is bound
as its input and its output. The cache is overwritten from any position on with the same bits as a
fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from glagol.core.errors import HostError, IntegrityError
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import artifact, device_of, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from glagol.registry.store import Blob
    from glagol.runtime.session import Interrupt
    from glagol.speech.types import Array

__all__ = ["FRAMES_MAX", "Cross", "Graphs", "State"]

FRAMES_MAX: Final = 3000
"""Mel frames of the longest window: 30 s."""

_TYPES: Final[dict[str, type[np.floating[Any]]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class _Tensor:
    """Values [...] of one shape where a device reads them.

    Attributes:
        value: bound to sessions.
    """

    def __init__(self, shape: Sequence[int], kind: type[np.floating[Any]], device: str) -> None:
        self._array: NDArray[np.floating[Any]] | None = None
        if device == "cpu":
            self._array = np.zeros(shape, kind)
            self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self._array)
        else:
            self.value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(shape), kind, device, 0
            )
            self.value.update_inplace(np.zeros(shape, kind))

    def read(self) -> NDArray[np.floating[Any]]:
        """The values; on a CPU the memory itself."""
        return self.value.numpy() if self._array is None else self._array

    def write(self, array: NDArray[np.floating[Any]]) -> None:
        """Take the values back after `read`."""
        if self._array is None:
            self.value.update_inplace(array)


@dataclass(frozen=True, slots=True)
class Cross:
    """What the decoder attends to: keys and values [1, heads, L, 64] of every layer.

    Attributes:
        tensors: by the decoder's input.
    """

    tensors: Mapping[str, _Tensor]

    def keys(self, layer: int, head: int) -> Array:
        """The keys of one head, float32 [L, 64]."""
        found: Array = self.tensors[f"cross_key_{layer}"].read()[0, head].astype(np.float32)
        return found


class Graphs:
    """The two sessions of a variant; shared by threads.

    Attributes:
        device: that runs them, "cpu" or "cuda".
        encoder: session.
        decoder: session.
        mels: bands that the encoder reads.
        layers: of the decoder.
        heads: of every layer.
        vocabulary: classes.
        aligners: heads whose queries leave the decoder.
        context: longest sequence of tokens.

    Raises:
        IntegrityError: `artifact_altered`, the graphs have other inputs than expected, or do not
            fit each other. Others as `glagol.runtime.session.open_session`.
        InputError, HostError: as there.
    """

    def __init__(
        self,
        blobs: Mapping[str, Blob],
        *,
        device: str,
        threads: int,
        memory_bytes: int = 0,
        library: str | None = None,
    ) -> None:
        artifact(blobs, "tokens.txt")
        self.encoder = open_session(
            blobs,
            "encoder.onnx",
            device=device,
            threads=threads,
            memory_bytes=memory_bytes,
            library=library,
        )
        self.decoder = open_session(
            blobs, "decoder.onnx", device=device, threads=threads, memory_bytes=memory_bytes
        )
        self.device = device_of(self.decoder)
        inputs = {each.name: each for each in self.decoder.get_inputs()}
        outputs = {each.name: each for each in self.decoder.get_outputs()}
        try:
            self.mels = _number(self.encoder.get_inputs()[0].shape[1])
            _, heads, context, width = inputs["self_key_0"].shape
            self.heads, self.context, self.width = map(_number, (heads, context, width))
            self.vocabulary = _number(outputs["logits"].shape[2])
            self.aligners = _number(outputs["queries"].shape[2])
            self.kind = _TYPES[inputs["self_key_0"].type]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _altered(f"the graphs lack {error}") from error
        self.layers = sum(name.startswith("self_key_") for name in inputs)
        self.crosses = [
            f"cross_{part}_{layer}" for layer in range(self.layers) for part in ("key", "value")
        ]
        if missing := {*self.crosses} - {each.name for each in self.encoder.get_outputs()}:
            raise _altered(f"the encoder does not give {', '.join(sorted(missing))}")

    def encode(self, mel: Array, stop: Interrupt | None = None) -> Cross:
        """Encode one window.

        Args:
            mel: float32 [mels, F], F even, at most 3000.
            stop: set by another thread to give up.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        shape = (1, self.heads, mel.shape[1] // 2, self.width)
        cross = {name: _Tensor(shape, self.kind, self.device) for name in self.crosses}
        binding = self.encoder.io_binding()
        binding.bind_cpu_input("mel", np.ascontiguousarray(mel[np.newaxis]))
        for name, tensor in cross.items():
            binding.bind_ortvalue_output(name, tensor.value)
        run(lambda options: self.encoder.run_with_iobinding(binding, options), stop)
        return Cross(cross)


class State:
    """Token sequences that the decoder has read, all of one window.

    Args:
        graphs: the model.
        cross: the window.
        rows: how many sequences side by side.
        stop: set by another thread to give up.

    Attributes:
        count: tokens in every sequence.
        queries: of the last step, float32 [rows, S, aligners, 64].
    """

    def __init__(
        self, graphs: Graphs, cross: Cross, rows: int = 1, stop: Interrupt | None = None
    ) -> None:
        self._graphs, self._cross, self._rows, self._stop = graphs, cross, rows, stop
        self.count = 0
        self._binding = graphs.decoder.io_binding()
        shape = (rows, graphs.heads, graphs.context, graphs.width)
        self._cache = {
            f"self_{part}_{layer}": _Tensor(shape, graphs.kind, graphs.device)
            for layer in range(graphs.layers)
            for part in ("key", "value")
        }
        for name, tensor in self._cache.items():
            self._binding.bind_ortvalue_input(name, tensor.value)
            self._binding.bind_ortvalue_output(f"{name}_out", tensor.value)
        for name, tensor in cross.tensors.items():
            self._binding.bind_ortvalue_input(name, tensor.value)
        self._shape = (0, 0)
        self._held: list[onnxruntime.OrtValue] = []

    @property
    def room(self) -> int:
        """How many tokens can still be read."""
        return self._graphs.context - self.count

    def step(self, tokens: NDArray[np.int64], at: Sequence[int] = (-1,)) -> Array:
        """Read the next tokens.

        Args:
            tokens: int64 [rows, S].
            at: positions among S whose logits are wanted; negative ones from the end.

        Returns:
            Logits float32 [rows, len(at), vocabulary]; the memory is that of the next step.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        width = tokens.shape[1]
        if self._shape != (width, len(at)):
            self._bind(width, len(at))
        self._tokens[:] = tokens
        self._past[:] = self.count + width - 1
        self._total[:] = self.count + width
        self._positions[:] = np.arange(self.count, self.count + width)
        self._at[:] = np.arange(width)[list(at)]
        run(
            lambda options: self._graphs.decoder.run_with_iobinding(self._binding, options),
            self._stop,
        )
        self.count += width
        return self._logits

    def rewind(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        self.count = count

    def branched(self, rows: int) -> State:
        """A state of `rows` sequences, each like the one of this state."""
        state = State(self._graphs, self._cross, rows, self._stop)
        for name, tensor in state._cache.items():
            array = tensor.read()
            array[:, :, : self.count] = self._cache[name].read()[:, :, : self.count]
            tensor.write(array)
        state.count = self.count
        return state

    def reorder(self, parents: Sequence[int]) -> None:
        """Continue every sequence from the cache of another row, [rows]."""
        if list(parents) == list(range(self._rows)):
            return
        for tensor in self._cache.values():
            array = tensor.read()
            array[:, :, : self.count] = array[:, :, : self.count][list(parents)]
            tensor.write(array)

    def _bind(self, width: int, wanted: int) -> None:
        """Make and bind the arrays of steps of that width; ONNX Runtime reads them in place."""
        rows, graphs = self._rows, self._graphs
        self._tokens = np.zeros((rows, width), np.int64)
        self._past = np.zeros(rows, np.int32)
        self._total = np.zeros(1, np.int32)
        self._positions = np.zeros((rows, width), np.int64)
        self._at = np.zeros(wanted, np.int64)
        self._logits = np.zeros((rows, wanted, graphs.vocabulary), np.float32)
        self.queries = np.zeros((rows, width, graphs.aligners, graphs.width), np.float32)
        self._shape = (width, wanted)
        given = {
            "tokens": self._tokens,
            "past": self._past,
            "total": self._total,
            "positions": self._positions,
            "at": self._at,
        }
        self._held = []
        for name, array in given.items():
            self._held.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
            self._binding.bind_ortvalue_input(name, self._held[-1])
        for name, array in (("logits", self._logits), ("queries", self.queries)):
            self._held.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
            self._binding.bind_ortvalue_output(name, self._held[-1])


def run(call: Callable[[onnxruntime.RunOptions | None], None], stop: Interrupt | None) -> None:
    """Run a session so that another thread can stop it.

    Raises:
        HostError: `cancelled`, by `stop`.
    """
    try:
        call(stop.options if stop else None)
    except Exception as error:  # ONNX Runtime's classes are private and derive from Exception
        if stop is None or not stop.is_set():
            raise
        raise HostError("cancelled", "the recognition was given up", "try again") from error


def _number(size: object) -> int:
    if not isinstance(size, int):
        raise TypeError(f"a size instead of {size!r}")
    return size


def _altered(what: str) -> IntegrityError:
    return IntegrityError(
        "artifact_altered",
        f"the model's files do not fit together: {what}",
        "build the model again: glagol models build ID",
    )
