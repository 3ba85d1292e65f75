"""Find the tensors of an ONNX graph that are stored in an external file.

ONNX Runtime takes weights that the caller holds (`add_external_initializers`) by tensor name. The
names are in the graph, so this reads just enough of the protocol buffer
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) without the onnx package:
ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.dims = 1, data_type = 2, name = 8,
external_data = 13 (key = 1, value = 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glagol.core.errors import IntegrityError
from glagol.runtime.protobuf import fields, packed

if TYPE_CHECKING:
    import numpy.typing as npt

DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2"}
"""TensorProto.DataType to numpy."""


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """One initializer that is stored outside of the graph.

    Attributes:
        name: name of the tensor in the graph.
        location: name of the file that holds the values.
        offset: position of the first byte in that file.
        dtype: numpy type string.
        shape: dimensions.
    """

    name: str
    location: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def view(self, data: memoryview) -> npt.NDArray[Any]:
        """The tensor [*shape] as a view of the file's bytes, without a copy.

        Raises:
            IntegrityError: `artifact_altered`, the file is too short for the tensor.
        """
        count = int(np.prod(self.shape, dtype=np.int64))
        try:
            return np.frombuffer(data, self.dtype, count, self.offset).reshape(self.shape)
        except ValueError as error:
            raise _altered(f"{self.location} is too short for {self.name}") from error


def external_tensors(graph: memoryview) -> list[ExternalTensor]:
    """List the external initializers of a model, whatever their shapes [...].

    Args:
        graph: bytes of the ONNX file.

    Returns:
        Its external initializers in file order.

    Raises:
        IntegrityError: `artifact_altered`, the bytes are not a readable ONNX model.
    """
    try:
        return [
            tensor
            for field, body, _ in fields(graph)
            if field == 7
            for number, initializer, _ in fields(body)
            if number == 5
            if (tensor := _external(initializer)) is not None
        ]
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise _altered(f"the ONNX graph cannot be read: {error!r}") from error


def _altered(what: str) -> IntegrityError:
    remedy = "build the model again: glagol models build ID"
    return IntegrityError("artifact_altered", what, remedy)


def _external(initializer: memoryview) -> ExternalTensor | None:
    shape: list[int] = []
    kind, name = 0, ""
    entries: dict[str, str] = {}
    for field, value, _ in fields(initializer):
        if field == 1:
            shape += [value] if isinstance(value, int) else packed(value)
        elif field == 2:
            kind = value
        elif field == 8:
            name = bytes(value).decode()
        elif field == 13:
            pair = {number: text for number, text, _ in fields(value)}
            entries[bytes(pair[1]).decode()] = bytes(pair[2]).decode()
    if not entries:
        return None
    offset = int(entries.get("offset", "0"))
    return ExternalTensor(name, entries["location"], offset, DTYPES[kind], tuple(shape))
