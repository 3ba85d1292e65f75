"""The library of operators: products and attention on Intel's matrix unit, int8 on AVX2.

ONNX Runtime does not use the matrix unit (AMX) in float32, and not well in int8. The library beside
this file does, in float32 with its accuracy and in int8 to the same bits; and it multiplies int8
exactly where ONNX Runtime's products saturate. Its operators have a
domain of their own; which of them are used is `glagol.runtime.kernels.choice`'s business, and which
nodes of a graph they get `glagol.runtime.kernels.adapt`'s. Its source is
packages/runtime/native, build/native makes it, and its bytes are those of any build of that source.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import sys
from functools import cache
from importlib.resources import files

SYSTEM = ("linux", "x86_64")
REFUSED = "the processor has no AMX, or the kernel keeps it from this process"
"""What `obstacle` says where the library was loaded and cannot tell which of the two it is."""


def library_file() -> str:
    """Path of the library file, which every installation contains."""
    return str(files("glagol.runtime.kernels").joinpath("amx-x86_64-linux.so"))


@cache
def sha256_of(path: str) -> str:
    """Digest of a library's bytes, as transcripts name it in their provenance.

    Read once: a process keeps the library that it loaded first, whatever becomes of the file.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - this package knows no pathlib
        return hashlib.file_digest(file, "sha256").hexdigest()


def obstacle() -> str:
    """Why this process cannot use the matrix unit; empty where it can.

    Another kind of processor or system, or one that keeps the unit from us (a virtual machine
    without it, Linux before 5.16, a small alternate signal stack).
    """
    if here() != SYSTEM:
        return f"made for {' '.join(SYSTEM)}, this is {' '.join(here())}"
    try:
        return "" if ready(library_file()) else REFUSED
    except OSError as error:  # another C library than it was linked with, or no right to run it
        return f"cannot be loaded: {error}"


def here() -> tuple[str, str]:
    """This system and kind of processor, as `SYSTEM` names them."""
    return sys.platform, platform.machine()


def ready(path: str) -> bool:
    """Whether this process can use the library at `path`. Raises OSError if it cannot be loaded."""
    return bool(ctypes.CDLL(path).glagol_amx_ready())
