"""Read `head.safetensors` from memory.

Format: 8 bytes little-endian header length, JSON header, raw data
(https://github.com/huggingface/safetensors#format). The decoders' tables are float32.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

Array: TypeAlias = npt.NDArray[np.float32]
"""Any float32 array; the docstring of its user gives the shape."""


def read_float32(data: memoryview) -> Mapping[str, Array]:
    """Tensors of a safetensors file by name, copied so that the file may be closed.

    Args:
        data: the whole file.

    Returns:
        float32 arrays in the shapes that the header gives.

    Raises:
        IntegrityError: `artifact_altered`, the bytes are not such a file.
    """
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header: dict[str, dict[str, Any]] = json.loads(bytes(data[8:start]))
        header.pop("__metadata__", None)
        return {name: _tensor(data[start:], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            "artifact_altered",
            f"head.safetensors cannot be read: {error}",
            "build the model again: glagol models build ID",
        ) from error


def _tensor(body: memoryview, entry: dict[str, Any]) -> Array:
    if entry["dtype"] != "F32":
        raise ValueError(f"dtype {entry['dtype']}, expected F32")
    begin, end = entry["data_offsets"]
    flat: Array = np.frombuffer(body[begin:end], "<f4").astype(np.float32)
    return flat.reshape(entry["shape"])


def require_finite(values: npt.NDArray[np.generic], name: str, file: str) -> None:
    """Refuse weights that hold a NaN or an infinity; they would make empty texts, not errors.

    A sum is not finite when one of its terms is not, and is faster than looking at each.

    Args:
        values: weights [...] of any shape and type; integers are always finite.
        name: of the tensor, for the message.
        file: that it comes from, for the message.

    Raises:
        IntegrityError: `artifact_altered`.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return
    if values.dtype == np.float16:
        wrong = bool((values.view(np.uint16) & 0x7C00 == 0x7C00).any())
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(values, axis=None)
        wrong = not np.isfinite(total) and not np.isfinite(values).all()
    if wrong:
        raise IntegrityError(
            "artifact_altered",
            f"{file} holds weights that are not finite numbers: {name}",
            "build the model again from a sound checkpoint: glagol models build ID",
        )
