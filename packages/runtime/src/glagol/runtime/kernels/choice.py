"""Choose which operators of Glagol's native library are used on this processor.

A class of processors is the instruction sets that this process can use. `OPERATORS` lists for each
class the operators that were measured there (docs/adr/0033-exact-int8-on-avx2.md). ONNX Runtime
computes all others, so its results do not change on a class without a measurement.
"""

from __future__ import annotations

import ctypes
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from glagol.runtime.kernels import amx
from glagol.runtime.kernels.adapt import ATTENTION, DYNAMIC, INTEGERS, MATMUL, QUANTISED, VECTOR

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATORS", "class_of", "library", "multiplies_int8", "operators_of"]

OPERATORS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "other": frozenset(),
        "avx2": frozenset(VECTOR + kind[1] for kind in (QUANTISED, DYNAMIC)),
        "avx512": frozenset(),
        "amx": frozenset(kind[1] for kind in (MATMUL, QUANTISED, DYNAMIC, ATTENTION)),
    }
)
"""Names of the operators that are used, by class. The order is that of the library's class numbers:
no AVX2; AVX2 without AVX-512; AVX-512 without AMX; AMX."""


@cache
def library() -> str | None:
    """Path of the library, or None when this process uses none of its operators.

    ONNX Runtime's operators compute everything then.
    """
    if amx.here() != amx.SYSTEM:
        return None
    path = amx.library_file()
    try:
        return path if operators_of(path) else None
    except OSError:  # `glagol.runtime.kernels.amx.obstacle` gives the reason
        return None


def multiplies_int8() -> bool:
    """Whether the library computes int8 products on this processor; they are exact then."""
    path = library()
    return path is not None and not operators_of(path).isdisjoint(INTEGERS)


def operators_of(path: str) -> frozenset[str]:
    """Operators of the library at `path` that are used on this processor.

    Raises:
        OSError: the library cannot be loaded.
    """
    return OPERATORS[class_of(path)]


def class_of(path: str) -> str:
    """This processor's class, as the library at `path` detects it.

    Raises:
        OSError: the library cannot be loaded.
    """
    number: int = ctypes.CDLL(path).glagol_class()
    return [*OPERATORS][number]
