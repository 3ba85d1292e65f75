"""Products on the matrix unit (AMX) of Intel's processors since Sapphire Rapids.

ONNX Runtime does not use it in float32, and not well in int8. The library beside this file does, in
float32 with its accuracy and in int8 to the same bits; its operators take the place of ONNX
Runtime's in a session that is given it. Its source is packages/speech/native, build/native makes
it, and its bytes are those of any build of that source.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from importlib.resources import files

SYSTEM = ("linux", "x86_64")


def library_file() -> str:
    """Path of the library; it is there on every system."""
    return str(files("glagol.speech").joinpath("amx-x86_64-linux.so"))


@cache
def library() -> str | None:
    """Path of the library, or None where this process cannot use it.

    None means another kind of processor or system, or one that keeps the unit from us (a virtual
    machine without it, Linux before 5.16, a small alternate signal stack); ONNX Runtime's own
    products are used then.
    """
    if (sys.platform, platform.machine()) != SYSTEM:
        return None
    try:
        ready: int = ctypes.CDLL(library_file()).glagol_amx_ready()
    except OSError:  # another C library than it was linked with, or no right to run what is there
        return None
    return library_file() if ready else None
