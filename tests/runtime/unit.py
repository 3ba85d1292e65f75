"""The library of kernels on any processor, and small graphs that ask for it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glagol.registry.store import Blob
from glagol.runtime.kernels import amx
from glagol.runtime.kernels.choice import class_of
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session, uses_kernels

ROOT = Path(__file__).resolve().parents[2]
CHECKED = os.environ.get("CHECKED_KERNELS", "")
"""A library that was compiled with sanitizers."""

NO_COMPILER = 3
"""Exit status of build/native where there is no compiler."""


def library_in(folder: Path) -> str:
    """The committed library where the processor has the unit, else one with the unit in C.

    Compiled once in `folder`, whichever process comes first. Skips the test where neither can be.
    build/proof-native names one that it compiled itself, CHECKED_KERNELS.
    """
    if CHECKED and amx.ready(CHECKED):
        return CHECKED
    if not amx.obstacle():
        return amx.library_file()
    if amx.here() != amx.SYSTEM:
        pytest.skip(f"the matrix unit: {amx.obstacle()}")
    if CHECKED:
        pytest.skip("the matrix unit: no AMX, and no AVX-512 to emulate it with")
    path = folder / "emulated.so"
    with (folder / "emulated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            made = [str(ROOT / "build/native"), "--emulated", str(folder / "new.so")]
            found = subprocess.run(made, capture_output=True, text=True)
            if found.returncode == NO_COMPILER:
                pytest.skip("the matrix unit: no AMX, and no C compiler to emulate it")
            assert found.returncode == 0, found.stderr
            shutil.move(folder / "new.so", path)
    if not amx.ready(str(path)):
        pytest.skip("the matrix unit: no AMX, and no AVX-512 to emulate it with")
    return str(path)


def vector_library() -> str:
    """The library, where this processor can use its vector operators; else skips the test."""
    if amx.here() != amx.SYSTEM or class_of(path := CHECKED or amx.library_file()) == "other":
        pytest.skip("the vector operators: not x86-64 Linux with AVX2")
    return path


def without_arena(
    options: Callable[[int], onnxruntime.SessionOptions],
) -> Callable[[int], onnxruntime.SessionOptions]:
    """The same options, every tensor a block of the heap."""

    def found(threads: int) -> onnxruntime.SessionOptions:
        made = options(threads)
        made.enable_cpu_mem_arena = False
        return made

    return found


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str] | None],
    constants: Mapping[str, NDArray[Any]],
    *,
    producer: str = "glagol.forge",
) -> bytes:
    """A graph of these nodes, its float32 inputs by name, with the output y."""
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
        producer_name=producer,
    )
    data: bytes = proto.SerializeToString()
    return data


def opened(data: bytes, library: str | None, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of a graph, as the library would be given to a served one."""
    blob = Blob(hashlib.sha256(data).hexdigest(), memoryview(data))
    return open_session({"g": blob}, "g", device="cpu", threads=threads, library=library)


def ours(data: bytes, library: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of a graph some of whose nodes are the library's."""
    session = opened(data, library, threads)
    assert uses_kernels(session)
    return session


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    """Normal numbers [*shape], the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
