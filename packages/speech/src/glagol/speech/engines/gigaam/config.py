"""Decoding parameters of a manifest entry, by head."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

__all__ = ["Config", "Ctc", "Rnnt"]


class Ctc(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="ctc"
):
    """Decoding of a CTC head: mel frames per encoder frame, audio rate in Hz."""

    subsampling: Annotated[int, Meta(gt=0)] = 4
    sample_rate: Literal[16_000] = 16_000


class Rnnt(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="rnnt"
):
    """Decoding of a transducer head; `max_symbols` caps emissions per encoder frame."""

    subsampling: Annotated[int, Meta(gt=0)] = 4
    sample_rate: Literal[16_000] = 16_000
    max_symbols: Annotated[int, Meta(gt=0)] = 10


Config: TypeAlias = Ctc | Rnnt
