"""Read torch checkpoints without torch, and without running any code in them.

Such a file is a zip archive: a pickle that describes the tensors, and one raw member per storage.
``archive`` gives the members as views, ``pickles`` reads the description as data, and the tensors
here are views of the storages. Three published forms are understood: a dictionary of tensors
(Hugging Face), ``{cfg, state_dict}`` (a ``.ckpt``), whose settings come out of omegaconf's objects
as plain dictionaries and lists, and ``{dims, model_state_dict}`` (OpenAI), whose dims are integers
by name. Of what pyannote.audio writes beside a ``state_dict``, nothing is kept.

Source: the zip format of ``torch.save`` (torch/serialization.py, torch/_utils.py); the state of
omegaconf 2.3's ``DictConfig``, ``ListConfig`` and nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints import pickles
from glagol.forge.checkpoints.pickles import Name, Record, Table, refused
from glagol.forge.checkpoints.torch_zip import Archive

Array = NDArray[np.generic]

MAGIC: Final = b"PK\x03\x04"
"""First bytes of a zip file, hence of a torch checkpoint."""

RANK_MAX: Final = 8
ELEMENTS_MAX: Final = 1 << 40
"""Largest size, stride and offset, and elements of an empty tensor's other axes; numpy's own limit
is 2**63 bytes."""
SETTINGS_MAX: Final = 100_000
"""Values in the settings; those of v3 are a few hundred."""

SIZES_MAX: Final = 32
"""Named sizes; OpenAI's checkpoints have ten."""

_DEPTH_MAX = 32
_BRAIN = "bfloat16"
_STORAGES: Mapping[str, str] = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": _BRAIN,
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
    "torch.storage UntypedStorage": "u1",
}
_DICT, _LIST = "omegaconf.dictconfig DictConfig", "omegaconf.listconfig ListConfig"
_NODES = frozenset(
    f"omegaconf.nodes {kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean")
)
_METADATA = frozenset({"omegaconf.base ContainerMetadata", "omegaconf.base Metadata"})
_TASK = "pyannote.audio.core.task"
_NOTES = ("torch.torch_version TorchVersion", f"{_TASK} Problem", f"{_TASK} Resolution")
"""What a Lightning checkpoint says of itself beside its tensors; nothing here reads it."""
_TYPES = frozenset(
    [f"typing {name}" for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")]
    + [
        f"{module} {name}"
        for module in ("__builtin__", "builtins")
        for name in ("dict", "list", "tuple", "int", "long", "float", "bool", "str", "unicode")
    ]
)


@dataclass(frozen=True, slots=True)
class _Storage:
    """The elements of one member of the archive."""

    kind: str
    elements: Array


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> Array:
        """Return the read-only view [*shape]; bfloat16 becomes float32, which holds it exactly."""
        elements = self.storage.elements
        view = np.lib.stride_tricks.as_strided(
            elements[self.offset :],
            self.shape,
            [step * elements.itemsize for step in self.strides],
            writeable=False,
        )
        if self.storage.kind != _BRAIN:
            return view
        wide = (view.astype("<u4") << np.uint32(16)).view("<f4")
        wide.flags.writeable = False
        return wide


class StoredTensors(Mapping[str, Array]):
    """Tensors of a checkpoint by name, made when asked for: views of the file, read-only."""

    def __init__(self, tensors: Mapping[str, _Tensor]) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor, float16 or wider. Raises KeyError."""
        return self._tensors[name].array()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def elements(self) -> int:
        """Return how many numbers all tensors hold together."""
        return sum(math.prod(tensor.shape) for tensor in self._tensors.values())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: by name, as views of the file.
        settings: upstream's ``cfg``, plain; None where there is none (Hugging Face).
        sizes: OpenAI's ``dims``, integers by name; None where there are none.
    """

    tensors: StoredTensors
    settings: Mapping[str, Any] | None
    sizes: Mapping[str, int] | None = None


def read_torch(data: bytes | memoryview) -> Checkpoint:
    """Read a checkpoint that ``torch.save`` wrote.

    Nothing is copied: keep ``data`` (a read-only mmap, say) as long as the tensors.

    Args:
        data: the whole file.

    Raises:
        IntegrityError: ``checkpoint_refused``: it asks for anything but tensors and settings (the
            message says for what), it is damaged, a view leaves its storage, or it is too large.
    """
    archive = Archive(data)
    described = [name for name in archive if name.endswith("/data.pkl")]
    if len(described) != 1:
        raise refused(f"it has {len(described)} descriptions, not one")
    storages = _Storages(archive, described[0].removesuffix("data.pkl"))
    table = Table(
        calls={
            "collections OrderedDict": _empty,
            "collections defaultdict": _default,
            "torch._utils _rebuild_tensor_v2": _tensor,
            "torch._utils _rebuild_parameter": _parameter,
            **dict.fromkeys(_NOTES, _note),
        },
        records=_NODES | _METADATA | {_DICT, _LIST, f"{_TASK} Specifications"},
        names=_TYPES | frozenset(_STORAGES),
        stored=storages.load,
    )
    found = pickles.read(archive[described[0]], table)
    if not isinstance(found, dict):
        raise refused("it holds no dictionary")
    state, settings, sizes = found, None, None
    if set(found) == {"dims", "model_state_dict"}:
        state, sizes = found["model_state_dict"], _sizes(found["dims"])
    elif "state_dict" in found:
        state, settings = found["state_dict"], _Plain().value(found.get("cfg"))
    if not isinstance(state, dict) or not state:
        raise refused("it holds no tensors")
    for name, value in state.items():
        if not isinstance(value, _Tensor):
            raise refused(f"{name[:80]!r} is no tensor but a {type(value).__name__}")
    if not isinstance(settings, dict | None):
        raise refused("its cfg is no dictionary")
    return Checkpoint(StoredTensors(state), settings, sizes)


def _sizes(dims: object) -> dict[str, int]:
    if not isinstance(dims, dict) or len(dims) > SIZES_MAX:
        raise refused(f"its dims are no dictionary of at most {SIZES_MAX} integers")
    for value in dims.values():
        if type(value) is not int or not 0 <= value <= ELEMENTS_MAX:
            raise refused("its dims are not all integers that can be a size")
    return dims


@dataclass(slots=True)
class _Storages:
    """The storages of an archive, each read and checked once."""

    archive: Archive
    prefix: str
    known: dict[tuple[str, str], _Storage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        order = f"{self.prefix}byteorder"
        if order in self.archive and bytes(self.archive[order]).strip() != b"little":
            raise refused("it was written in big-endian order")

    def load(self, reference: object) -> _Storage:
        """Return the storage of a reference ``("storage", type, key, place, elements)``."""
        match reference:
            case ("storage", Name(kind), str(key), str(), int(count)) if kind in _STORAGES:
                pass
            case _:
                raise refused("a reference in it is of unknown form")
        dtype = _STORAGES[kind]
        if (kind, key) not in self.known:
            member = f"{self.prefix}data/{key}"
            if member not in self.archive:
                raise refused(f"the storage {key[:80]!r} is absent")
            raw = self.archive[member]
            width = np.dtype("<u2" if dtype == _BRAIN else dtype).itemsize
            if len(raw) % width:
                raise refused(f"the storage {key} ends inside an element")
            elements = np.frombuffer(raw, "<u2" if dtype == _BRAIN else dtype)
            self.known[kind, key] = _Storage(dtype, elements)
        storage = self.known[kind, key]
        if storage.elements.size != count:
            raise refused(f"the storage {key} has {storage.elements.size} elements, not {count}")
        return storage


def _empty(*arguments: object) -> dict[str, object]:
    if arguments:
        raise refused("an ordered dictionary in it is made of something")
    return {}


def _default(kind: object = None) -> dict[str, object]:
    if not isinstance(kind, Name | None):
        raise refused("a dictionary in it makes its own values")
    return {}


def _note(*_: object) -> None:
    """Stand for an object that says something of the checkpoint: dropped."""


def _parameter(tensor: object, *_: object) -> object:
    if not isinstance(tensor, _Tensor):
        raise refused("a parameter in it is no tensor")
    return tensor


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    sizes, steps = _counts(shape), _counts(strides)
    if not isinstance(storage, _Storage) or len(sizes) != len(steps) or len(sizes) > RANK_MAX:
        raise refused("a tensor in it is of unknown form")
    if math.prod(size or 1 for size in sizes) > ELEMENTS_MAX:
        raise refused(f"a tensor of shape {sizes} is too large")
    (first,) = _counts((offset,))
    count = storage.elements.size
    last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    empty = 0 in sizes
    if first > count or (not empty and last >= count):
        raise refused(f"a tensor of shape {sizes} leaves its storage of {count} elements")
    reach = 0
    for step, size in sorted(zip(steps, sizes, strict=True)):
        if size > 1 and step <= reach and not empty:
            raise refused(f"a tensor of shape {sizes} and strides {steps} overlaps itself")
        reach += (size - 1) * step
    return _Tensor(storage, first, sizes, steps)


def _counts(values: object) -> tuple[int, ...]:
    """``values`` as sizes: a tuple of integers from 0 to 2**40."""
    if not isinstance(values, tuple):
        raise refused("a tensor in it is of unknown form")
    for value in values:
        if type(value) is not int or not 0 <= value <= ELEMENTS_MAX:
            raise refused("a tensor in it has a size, stride or offset that is no count")
    return values


class _Plain:
    """Takes omegaconf's objects apart; the number of values is bounded, shared ones included."""

    def __init__(self) -> None:
        self._left = SETTINGS_MAX

    def value(self, value: object, depth: int = 0) -> Any:
        """Return ``value`` as dictionaries, lists, texts, numbers, truth values and None."""
        self._left -= 1
        if self._left < 0 or depth > _DEPTH_MAX:
            raise refused("its settings are endless")
        step: Callable[[object], Any] = lambda item: self.value(item, depth + 1)  # noqa: E731
        match value:
            case Record(kind, state) if kind in (_DICT, _LIST) and "_content" in state:
                return step(state["_content"])
            case Record(kind, state) if kind in _NODES and "_val" in state:
                return step(state["_val"])
            case dict():
                return {key: step(item) for key, item in value.items()}
            case list() | tuple():
                return [step(item) for item in value]
            case None | bool() | int() | float() | str():
                return value
        raise refused(f"its settings hold a {type(value).__name__}")
