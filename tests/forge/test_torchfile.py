"""Torch checkpoints without torch: the tensors come out, nothing in the file runs."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest

from forge import seeded
from glagol.forge.build import build
from glagol.forge.checkpoint import CheckpointError
from glagol.forge.torchfile import read_torch


class _Storage:
    """Stands for a torch storage in the pickle."""

    def __init__(self, kind: type, key: str, count: int) -> None:
        self.reference = ("storage", kind, key, "cpu", count)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return value.reference if isinstance(value, _Storage) else None


class _Tensor:
    """Pickles as torch pickles a tensor."""

    def __init__(self, rebuild: object, *arguments: object) -> None:
        self.call = (rebuild, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Names that a torch pickle refers to, without torch."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    kinds = {}
    for name in ("FloatStorage", "HalfStorage", "BFloat16Storage"):
        kinds[name] = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kinds[name])

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return kinds | {"rebuild": _rebuild_tensor_v2}


def _zip(value: object, storages: dict[str, bytes], order: bytes = b"little") -> bytes:
    description, out = io.BytesIO(), io.BytesIO()
    _Pickler(description, protocol=2).dump(value)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", description.getvalue())
        archive.writestr("archive/byteorder", order)
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key}", raw)
    return out.getvalue()


def _saved(tensors: dict[str, np.ndarray], names: dict[str, object]) -> bytes:
    state, storages = OrderedDict(), {}
    for number, (name, value) in enumerate(tensors.items()):
        kind = names["HalfStorage" if value.dtype == np.float16 else "FloatStorage"]
        strides = tuple(step // value.itemsize for step in value.strides)
        storage = _Storage(kind, str(number), value.size)
        state[name] = _Tensor(
            names["rebuild"], storage, 0, value.shape, strides, False, OrderedDict()
        )
        storages[str(number)] = value.tobytes()
    return _zip(state, storages)


def test_a_model_builds_from_a_torch_file(torch_names: dict[str, object]) -> None:
    """Half-precision encoder, single-precision rest: the artifacts of the same tensors."""
    sizes = seeded.architecture(layers=1)
    weights = {
        f"model.{k}": v.astype(np.float16) if "layers.0.conv" in k else v
        for k, v in seeded.weights(sizes, 1).items()
    }
    read = read_torch(_saved(weights, torch_names))
    assert {k: v.dtype for k, v in read.items()} == {k: v.dtype for k, v in weights.items()}
    config = seeded.config(sizes)
    assert build(read, config, "int8", "ctc") == build(weights, config, "int8", "ctc")


def test_views_of_one_storage(torch_names: dict[str, object]) -> None:
    """Offset and strides are honoured; bfloat16 widens exactly."""
    values = np.arange(12, dtype=np.float32)
    single = _Storage(torch_names["FloatStorage"], "0", 12)
    brain = _Storage(torch_names["BFloat16Storage"], "1", 2)
    state = {
        "turned": _Tensor(torch_names["rebuild"], single, 2, (3, 2), (1, 4), False, None),
        "scalar": _Tensor(torch_names["rebuild"], single, 11, (), (), False, None),
        "brain": _Tensor(torch_names["rebuild"], brain, 0, (2,), (1,), False, None),
    }
    upper = np.array([1.5, -2], np.float32).view(np.uint32) >> 16
    storages = {"0": values.tobytes(), "1": upper.astype("<u2").tobytes()}
    read = read_torch(_zip({"state_dict": state, "epoch": 3}, storages))
    assert read["turned"].tolist() == [[2, 6], [3, 7], [4, 8]]
    assert read["scalar"] == 11
    assert read["brain"].tolist() == [1.5, -2]


class _Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("exit 0",)


def test_nothing_runs() -> None:
    """A pickle that names a function is refused before the function is looked up."""
    with pytest.raises(CheckpointError, match=r"system; only tensors"):
        read_torch(_zip({"a": _Attack()}, {}))


def test_broken_files_are_refused(torch_names: dict[str, object]) -> None:
    """Short storages, foreign order, views outside, no dictionary, no zip."""
    storage = _Storage(torch_names["FloatStorage"], "0", 4)

    def one(*view: object) -> object:
        return {"a": _Tensor(torch_names["rebuild"], storage, *view, False, None)}

    inside = one(0, (4,), (1,))
    cases = [
        _zip(inside, {"0": bytes(12)}),
        _zip(inside, {}),
        _zip(inside, {"0": bytes(16)}, order=b"big"),
        _zip(one(1, (4,), (1,)), {"0": bytes(16)}),
        _zip(one(0, (-1,), (1,)), {"0": bytes(16)}),
        _zip(one(0, (1 << 40,), (0,)), {"0": bytes(16)}),
        _zip([1], {}),
        b"PK\x03\x04 and no more",
        b"",
    ]
    for data in cases:
        with pytest.raises(CheckpointError):
            read_torch(data)
    assert read_torch(_zip(inside, {"0": bytes(16)}))["a"].shape == (4,)


def test_torch_itself_agrees() -> None:
    """What torch saves is read bit for bit."""
    torch = pytest.importorskip("torch")
    weights = seeded.weights(seeded.architecture(layers=1), 1)
    state = {k: torch.from_numpy(v) for k, v in weights.items()}
    state["half"] = torch.arange(6).reshape(2, 3).half().T
    state["parameter"] = torch.nn.Parameter(torch.ones(3))
    out = io.BytesIO()
    torch.save(OrderedDict(state), out)
    read = read_torch(out.getvalue())
    assert sorted(read) == sorted(state)
    for name, value in state.items():
        assert np.array_equal(read[name], value.detach().numpy()), name
