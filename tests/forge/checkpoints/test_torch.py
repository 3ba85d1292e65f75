"""Torch checkpoints without torch: the tensors come out, the settings too, nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge import published, seeded
from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints import pickles
from glagol.forge.checkpoints.torch import read_torch
from glagol.forge.families.gigaam.build import build

D = published.Describe
REAL = (Path(__file__).parent.parent / "golden") / "torch_made.ckpt"
FOUR = {"0": bytes(16)}


def zipped(program: bytes, storages: Mapping[str, bytes] = {}, order: bytes = b"little") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/byteorder", order)
        for key, raw in storages.items():
            archive.writestr(f"x/data/{key}", raw)
    return out.getvalue()


def described(value: bytes, storages: Mapping[str, bytes] = FOUR) -> bytes:
    return zipped(D.program(value), storages)


def one(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, count: int = 4) -> bytes:
    """A dictionary of one float32 tensor over storage 0."""
    return D.dict_of({"a": D.tensor(D.storage("FloatStorage", "0", count), shape, strides, offset)})


def refusal(data: bytes) -> str:
    with pytest.raises(IntegrityError) as caught:
        read_torch(data)
    assert caught.value.code == "checkpoint_refused"
    return caught.value.message


def test_what_torch_and_omegaconf_wrote() -> None:
    """A file by the real libraries: every kind of view and value, settings without objects."""
    data = REAL.read_bytes()
    read = read_torch(data)
    assert read.settings == {
        "model_class": "ctc",
        "model_name": "v3_ctc",
        "preprocessor": {"features": 64, "win_length": 320, "center": False, "mel_norm": None},
        "encoder": {"n_heads": 16, "rope": 0.5, "name": "${model_name}"},
        "decoding": {"vocabulary": [" ", "а", "б"]},
    }
    tensors = read.tensors
    assert tensors["half"].dtype == np.float16
    assert tensors["half"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["parameter"].tolist() == [0.5] * 3
    assert tensors["brain"].tolist() == [1.5, -2]
    assert tensors["head"].tolist() == [0, 1, 2, 3]
    assert tensors["tail"].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert (tensors["scalar"].shape, int(tensors["scalar"])) == ((), 3)
    assert tensors["empty"].shape == (0, 4)
    assert tensors.elements() == 6 + 6 + 3 + 2 + 4 + 8 + 1
    whole = np.frombuffer(data, np.uint8)
    assert np.shares_memory(tensors["tail"], whole), "a copy was made"
    with pytest.raises(ValueError, match="read-only"):
        tensors["tail"][0] = 1


def test_torch_itself_agrees() -> None:
    """What torch of today saves is read bit for bit."""
    torch = pytest.importorskip("torch")
    weights = seeded.weights(seeded.architecture(layers=1), 1)
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    state["half"] = torch.arange(6).reshape(2, 3).half().T
    out = io.BytesIO()
    torch.save(state, out)
    read = read_torch(out.getvalue())
    assert read.settings is None
    assert sorted(read.tensors) == sorted(state)
    for name, value in state.items():
        assert np.array_equal(read.tensors[name], value.numpy()), name


def test_torch_reads_what_the_tests_write(tmp_path: Path) -> None:
    """The files of ``published`` are real ones: torch's own data-only reader takes them."""
    torch = pytest.importorskip("torch")
    kind = published.MODELS[1]
    place = published.folder(tmp_path, kind, published.small(kind), form="bare")
    theirs = torch.load(place / "pytorch_model.bin", weights_only=True)
    ours = read_torch((place / "pytorch_model.bin").read_bytes()).tensors
    assert sorted(theirs) == sorted(ours)
    assert all(np.array_equal(theirs[name].numpy(), ours[name]) for name in ours)


def test_a_model_builds_as_from_its_tensors(tmp_path: Path) -> None:
    """Half-precision views of a file give the artifacts of the same arrays."""
    kind = published.MODELS[0]
    sizes = published.small(kind)
    place = published.folder(tmp_path, kind, sizes, form="bare")
    read = read_torch((place / "pytorch_model.bin").read_bytes()).tensors
    arrays = dict(published.tensors(published.shapes(sizes, 12), 1))
    config = seeded.config(sizes)
    assert build(read, config, "int8", "ctc") == build(arrays, config, "int8", "ctc")


class _Attack:
    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("call", [os.system, eval, exec, __import__, open, getattr])
def test_nothing_runs(call: Callable[..., object], protocol: int, tmp_path: Path) -> None:
    """Whatever Python makes of a call, alone or deep inside, it is named and not made."""
    mark = tmp_path / "ran"
    attack = _Attack(call, f"open({str(mark)!r}, 'w')" if call in (eval, exec) else str(mark))
    for value in (attack, {"state_dict": {"a": [attack]}}, _Attack(dict, [(1, attack)])):
        message = refusal(zipped(pickle.dumps(value, protocol)))
        assert "asks for" in message
        assert call.__name__ in message or "dict" in message
    assert not mark.exists()


def test_names_cannot_be_composed() -> None:
    """No dotted path, no other module, no name from the stack that is not a text, no extension."""
    for module, name in (
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch", "_utils._rebuild_tensor_v2"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("omegaconf.base", "Container"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.fromkeys"),
        ("posix", "system"),
    ):
        assert "asks for" in refusal(described(D.name(module, name)))
        stacked = D.text(module) + D.text(name) + b"\x93"
        assert "asks for" in refusal(zipped(b"\x80\x04" + stacked + b"."))
    for program in (
        D.tuple_of() + D.text("system") + b"\x93",  # STACK_GLOBAL with a tuple for a module
        D.call(("torch", "FloatStorage"), D.text("0")),  # a name that may be mentioned, not called
        D.call(("omegaconf.dictconfig", "DictConfig")),
        D.name("collections", "OrderedDict") + b")\x81",  # NEWOBJ of a function
        D.name("typing", "Any") + b"}b",  # BUILD on a name
        D.text("text") + D.tuple_of() + b"R",
        b"\x82\x01",  # EXT1
        b"(" + D.text("x") + b"iposix\nsystem\n",  # INST
        b"(" + D.name("torch", "FloatStorage") + b"o",  # OBJ
        b"Pstorage\n",  # PERSID
        D.name("omegaconf.nodes", "AnyNode") + D.tuple_of(D.text("x")) + b"\x81",
        D.call(("collections", "OrderedDict"), D.list_of(D.tuple_of(D.text("a"), D.NONE))),
        D.call(("collections", "defaultdict"), D.text("x")),
        D.call(("torch._utils", "_rebuild_parameter"), D.text("x")),
    ):
        refusal(described(program))


def test_values_that_are_no_model_are_refused() -> None:
    """A dictionary of tensors, or one under state_dict; nothing else, and no strange tensor."""
    for value in (
        D.list_of(),
        D.dict_of({}),
        D.dict_of({"a": D.integer(1)}),
        D.dict_of({"state_dict": D.list_of()}),
        D.dict_of({"state_dict": one((4,), (1,)), "cfg": D.text("x")}),
        D.dict_of({"a": D.storage("FloatStorage", "0", 4)}),
        D.dict_of({"a": D.call(published.REBUILD, D.text("x"))}),
        D.dict_of({"a": D.storage("QInt8Storage", "0", 16)}),
        b"}(" + D.integer(1) + D.integer(2) + b"u",  # a key that is no text
    ):
        refusal(described(value))
    assert read_torch(described(one((4,), (1,)))).tensors["a"].shape == (4,)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (one((5,), (1,)), "leaves its storage"),
        (one((4,), (1,), 1), "leaves its storage"),
        (one((2, 2), (3, 1)), "leaves its storage"),
        (one((1,), (1,), 1 << 40), "leaves its storage"),
        (one((0,), (1,), 5), "leaves its storage"),
        (one((1 << 40,), (0,)), "overlaps itself"),
        (one((2, 2), (1, 1)), "overlaps itself"),
        (one((2, 2, 2), (1, 1, 0)), "overlaps itself"),
        (one((-1,), (1,)), "no count"),
        (one((2,), (-1,), 1), "no count"),
        (one((1 << 63,), (1,)), "no count"),
        (one((0, 1 << 62), (1, 1)), "no count"),
        (one((1,), (1 << 62,)), "no count"),
        (one((0, 1 << 40, 1 << 40), (1, 1, 1)), "too large"),
        (one((2,), (1, 1)), "unknown form"),
        (one((1,) * 9, (1,) * 9), "unknown form"),
        (one((4,), (1,), count=5), "has 4 elements, not 5"),
        (one((1,), (1,), count=1), "has 4 elements, not 1"),
        (D.dict_of({"a": D.tensor(D.storage("FloatStorage", "9", 4), (1,), (1,))}), "absent"),
        (D.dict_of({"a": D.tensor(D.storage("FloatStorage", "../0", 4), (1,), (1,))}), "absent"),
    ],
)
def test_views_stay_inside_their_storage(value: bytes, reason: str) -> None:
    """Offsets, sizes and strides are checked before a view is made."""
    assert reason in refusal(described(value))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=3), st.integers(0, 20))
def test_every_accepted_view_is_sound(axes: list[tuple[int, int]], offset: int) -> None:
    """Whatever is not refused lies inside and reads no element twice."""
    shape, strides = tuple(n for n, _ in axes), tuple(s for _, s in axes)
    value = D.dict_of({"a": D.tensor(D.storage("LongStorage", "0", 16), shape, strides, offset)})
    raw = np.arange(16, dtype="<i8").tobytes()
    try:
        view = read_torch(described(value, {"0": raw})).tensors["a"]
    except IntegrityError:
        return
    wanted = [offset + int(np.dot(i, strides)) for i in np.ndindex(shape)]
    assert view.ravel().tolist() == wanted
    assert len(set(wanted)) == len(wanted)


def test_endless_descriptions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long programs, deep and exploding settings, texts and numbers that claim to be huge."""
    monkeypatch.setattr(pickles, "STEPS_MAX", 1000)
    assert "steps" in refusal(described(b"}" * 1001))
    monkeypatch.setattr(pickles, "PROGRAM_BYTES_MAX", 1000)
    assert "limit" in refusal(described(D.text("x" * 1000)))
    monkeypatch.undo()
    bomb = D.list_of(D.integer(0)) + b"q\x00"
    for level in range(1, 30):  # each level mentions the one below ten times: 10**29 values
        bomb = b"](" + bomb
        bomb += (b"h" + bytes([level - 1])) * 9 + b"eq" + bytes([level])
    both = {"state_dict": one((4,), (1,))}
    assert "endless" in refusal(described(D.dict_of(both | {"cfg": bomb})))
    deep = b"]" * 40 + b"a" * 39
    assert "endless" in refusal(described(D.dict_of(both | {"cfg": deep})))
    itself = b"]q\x00h\x00a"
    assert "endless" in refusal(described(D.dict_of(both | {"cfg": itself})))
    huge = b"\x8d" + struct.pack("<Q", 1 << 60)
    refusal(described(huge))
    refusal(described(b"\x8b" + struct.pack("<i", 1 << 30)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """A flipped byte anywhere gives the same tensors, or a refusal: never another error."""
    raw = bytearray(REAL.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        read = read_torch(bytes(raw))
        values = {name: np.array(value) for name, value in read.tensors.items()}
    except IntegrityError:
        return
    assert values["half"].tolist() == [[0, 1, 2], [3, 4, 5]]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_program_is_refused_or_read(program: bytes) -> None:
    """Bytes that are no pickle never give another error than the refusal."""
    with pytest.raises(IntegrityError):
        read_torch(zipped(b"\x80\x02" + program, FOUR))
