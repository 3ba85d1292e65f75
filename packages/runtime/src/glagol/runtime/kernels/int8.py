"""Detect where int8 products would saturate, so that fp32 is used instead.

ONNX Runtime multiplies unsigned activations by signed weights. On x86-64 without VNNI its kernels
add two products in 16 bits, which saturate, and the error of int8 doubles
(docs/adr/0017-determinism-by-instruction-set.md has the figures). With AVX2 our library
multiplies exactly.
"""

from __future__ import annotations

import ctypes
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from glagol.runtime.kernels.amx import SYSTEM, here, library_file
from glagol.runtime.kernels.choice import multiplies_int8

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REPLACED", "inexact", "saturates"]

REPLACED: Final[Mapping[str, str]] = MappingProxyType({"int8": "fp32"})
"""Precision by the precision that it replaces on a processor that `saturates`."""


def inexact(*, kernels: bool) -> bool:
    """Whether int8 products of a model are inexact here.

    Args:
        kernels: whether our library computes all of them where it can.
    """
    return saturates() and not (kernels and multiplies_int8())


@cache
def saturates() -> bool:
    """Whether ONNX Runtime's int8 products saturate here: on x86-64 without VNNI.

    False on other systems, and where the library that asks the processor cannot be loaded.
    """
    if here() != SYSTEM:
        return False
    try:
        return not ctypes.CDLL(library_file()).glagol_int8_exact()
    except OSError:
        return False
