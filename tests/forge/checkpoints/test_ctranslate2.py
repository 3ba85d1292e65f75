"""CTranslate2's model.bin as data: what is in it comes out, and nothing unknown gets in."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.made_whisper import conversion
from glagol.forge.checkpoints.ctranslate2 import read_ctranslate2
from glagol.forge.checkpoints.safetensors import CheckpointError

WIDE = np.arange(6, dtype=np.float32).reshape(2, 3)
VARIABLES: dict[str, np.ndarray] = {
    "encoder/half": np.arange(4, dtype=np.float16).reshape(2, 2, 1),
    "encoder/heads": np.array(8, np.int16),
    "encoder/wide": WIDE,
}
ALIASES = {"tied": "encoder/wide"}
FILE = conversion(VARIABLES, aliases=ALIASES, specification="SomeSpec", revision=2)


def test_everything_comes_out() -> None:
    """Weights as read-only views in their own type, settings as integers, aliases as names."""
    found = read_ctranslate2(FILE)
    assert (found.specification, found.revision) == ("SomeSpec", 2)
    assert found.numbers == {"encoder/heads": 8}
    assert set(found.tensors) == {"encoder/half", "encoder/wide", "tied"}
    assert found.tensors["tied"] is found.tensors["encoder/wide"]
    for name, value in found.tensors.items():
        original = VARIABLES[ALIASES.get(name, name)]
        assert value.dtype == original.dtype
        assert np.array_equal(value, original)
        assert not value.flags.writeable


@pytest.mark.parametrize("end", range(len(FILE)))
def test_a_file_that_ends_early_is_refused(end: int) -> None:
    """Cut at any byte."""
    with pytest.raises(CheckpointError, match="too early"):
        read_ctranslate2(FILE[:end])


@pytest.mark.parametrize(
    ("variables", "aliases", "message"),
    [
        ({"w": np.zeros((2, 2), np.int8)}, {}, "w holds int8 weights.*without quantisation"),
        ({"w": np.zeros(3, np.int16)}, {}, "w holds int16 weights"),
        ({"w/weight_scale": WIDE, "w/weight": np.ones((2, 3), np.int8)}, {}, "int8 weights"),
        ({"w": WIDE}, {"w": "w"}, "is a used name"),
        ({"w": WIDE}, {"v": "absent"}, "or of no tensor"),
        ({"n": np.array(1, np.int8)}, {"v": "n"}, "or of no tensor"),
        ({"n" * 3 + "\n": WIDE}, {}, "is not text"),
        ({"w": WIDE.reshape((1,) * 7 + (2, 3))}, {}, "9 axes"),
    ],
)
def test_what_is_unknown_is_refused(
    variables: Mapping[str, np.ndarray], aliases: Mapping[str, str], message: str
) -> None:
    """Quantised weights, aliases of nothing, strange names and shapes; the message says which."""
    with pytest.raises(CheckpointError, match=message):
        read_ctranslate2(conversion(variables, aliases=aliases))


def test_other_versions_and_trailing_bytes_are_refused() -> None:
    """Both are named."""
    for version in (5, 7):
        with pytest.raises(CheckpointError, match=f"binary version {version}; only 6 is read"):
            read_ctranslate2(conversion(VARIABLES, version=version))
    with pytest.raises(CheckpointError, match="2 bytes follow"):
        read_ctranslate2(FILE + b"\0\0")


def test_types_and_counts_are_checked() -> None:
    """bfloat16, a type of tomorrow, a variable twice, a wrong length, endless variables."""
    one = conversion({"w": WIDE}, aliases={})
    at = one.index(b"w\0") + 2 + 1 + 8
    for kind, message in ((5, "bfloat16 weights"), (9, "unknown type 9")):
        with pytest.raises(CheckpointError, match=message):
            read_ctranslate2(one[:at] + bytes([kind]) + one[at + 1 :])
    with pytest.raises(CheckpointError, match=r"shape \(2, 3\) has 25 bytes"):
        read_ctranslate2(one[: at + 1] + struct.pack("<I", 25) + one[at + 5 :])
    count = one.index(b"Spec\0") + 5 + 4
    variable = one[count + 4 : -4]
    twice = one[:count] + struct.pack("<I", 2) + variable * 2 + bytes(4)
    with pytest.raises(CheckpointError, match="w occurs twice"):
        read_ctranslate2(twice)
    with pytest.raises(CheckpointError, match="the limit is 20000"):
        read_ctranslate2(one[:count] + struct.pack("<I", 1 << 31) + variable)


@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Any byte replaced: a checkpoint or CheckpointError, never another error."""
    broken = bytearray(FILE)
    broken[data.draw(st.integers(0, len(FILE) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CheckpointError):
        read_ctranslate2(bytes(broken))
