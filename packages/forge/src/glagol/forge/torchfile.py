"""Reading tensors of a torch checkpoint without torch, and without running what is in it.

Such a file is a zip: a pickle that describes the tensors and one raw file per storage. Unpickling
normally imports and calls whatever the pickle names; here only the names in ``_KNOWN`` resolve,
all of them to code of this module, and any other name is an error.

Source: the zip format of ``torch.save`` (torch/serialization.py, torch/_utils.py).
"""

from __future__ import annotations

import io
import math
import pickle  # only through _Reader, which resolves no foreign name
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoint import CheckpointError

Array = NDArray[np.generic]

MAGIC = b"PK\x03\x04"
"""First bytes of a zip, hence of a torch checkpoint."""

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def _tensor(
    storage: Array,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
    *_: object,
) -> Array:
    """Return the view of ``storage`` that a tensor is, as a contiguous array."""
    if len(shape) != len(strides) or min((offset, *shape, *strides), default=0) < 0:
        raise CheckpointError(f"a tensor has shape {shape} and strides {strides}")
    count: int = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count > storage.size or (count and last >= storage.size):
        raise CheckpointError(f"a tensor of shape {shape} lies outside its storage")
    width = storage.itemsize
    view = np.lib.stride_tricks.as_strided(
        storage[offset:], tuple(shape), tuple(step * width for step in strides), writeable=False
    )
    return np.ascontiguousarray(view).reshape(tuple(shape))


def _parameter(data: Array, *_: object) -> Array:
    return data


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Reader(pickle.Unpickler):
    def __init__(self, description: bytes, storage: Callable[[str, str, int], Array]) -> None:
        super().__init__(io.BytesIO(description))
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return name
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise CheckpointError(f"the checkpoint asks for {module}.{name}; only tensors are read")

    def persistent_load(self, pid: Any) -> Array:
        try:
            kind, storage, key, _, count = pid
            if kind != "storage":
                raise ValueError(kind)
            return self._storage(str(storage), str(key), int(count))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint has a reference of unknown form: {pid!r}") from (
                error
            )


def _load_storage(archive: zipfile.ZipFile, prefix: str, kind: str, key: str, count: int) -> Array:
    raw = archive.read(f"{prefix}/data/{key}")
    dtype = _STORAGES.get(kind)
    if dtype is None:
        raise CheckpointError(f"storage {key} is of the unknown kind {kind}")
    if dtype != _BFLOAT16:
        values: Array = np.frombuffer(raw, dtype)
    else:  # the upper half of a float32
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if values.size < count:
        raise CheckpointError(f"storage {key} has {values.size} elements, not {count}")
    return values[:count]


def read_torch(data: bytes | memoryview) -> dict[str, Array]:
    """Return the tensors of a checkpoint that ``torch.save`` wrote, by name.

    A state dict is read as it is; of a dictionary that holds one under ``state_dict``, that one.
    bfloat16 tensors come back as float32, which holds them exactly.

    Args:
        data: the whole file.

    Raises:
        CheckpointError: no such file, or it holds anything but plain tensors.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(names) != 1:
                raise CheckpointError(f"{len(names)} descriptions in the checkpoint, not one")
            prefix = names[0].removesuffix("/data.pkl")
            order = f"{prefix}/byteorder"
            if order in archive.namelist() and archive.read(order).strip() != b"little":
                raise CheckpointError("the checkpoint was written in big-endian order")
            found = _Reader(
                archive.read(names[0]),
                lambda kind, key, count: _load_storage(archive, prefix, kind, key, count),
            ).load()
    except (zipfile.BadZipFile, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"not a torch checkpoint: {error}") from error
    except (AttributeError, IndexError, TypeError) as error:
        raise CheckpointError(f"the checkpoint's description is broken: {error}") from error
    return _state(found)


def _state(found: object) -> dict[str, Array]:
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise CheckpointError("the checkpoint holds no dictionary of tensors")
    return {str(name): value for name, value in found.items() if isinstance(value, np.ndarray)}
