"""Choose the operators of our library that are used on this processor: a table by class.

A class is what the processor offers to this process. What is in its row was measured there
(docs/adr/0033-exact-int8-on-avx2.md); what is not in the table is ONNX Runtime's, so a class
without a measurement keeps the bits that it had.
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
"""Names of the operators that are used, by class, in the order of the library's numbers of classes:
with less than AVX2, with AVX2 and no AVX-512, with AVX-512 and no AMX, with AMX."""


@cache
def library() -> str | None:
    """Path of the library, or None where none of its operators is used by this process.

    ONNX Runtime's own operators are used then.
    """
    if amx.here() != amx.SYSTEM:
        return None
    path = amx.library_file()
    try:
        return path if operators_of(path) else None
    except OSError:  # `glagol.runtime.kernels.amx.obstacle` says why
        return None


def multiplies_int8() -> bool:
    """Whether the library computes int8 products here; they are exact then."""
    path = library()
    return path is not None and not operators_of(path).isdisjoint(INTEGERS)


def operators_of(path: str) -> frozenset[str]:
    """Operators of the library at a path that are used here.

    Raises:
        OSError: it cannot be loaded.
    """
    return OPERATORS[class_of(path)]


def class_of(path: str) -> str:
    """This processor's class, as the library at a path finds it.

    Raises:
        OSError: it cannot be loaded.
    """
    number: int = ctypes.CDLL(path).glagol_class()
    return [*OPERATORS][number]
