"""Decoding parameters of a manifest entry, by head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from glagol.speech.engines.base import Traits, configured

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model

__all__ = ["Config", "Ctc", "Rnnt", "traits_of"]

WINDOW_S: Final = 25.0
"""Longest audio that upstream trained on, seconds."""

Window: TypeAlias = Annotated[float, Meta(ge=5.0, le=WINDOW_S)]
"""Longest audio that an encoder was trained on, and so reads at a time, seconds."""


class Ctc(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="ctc"
):
    """Decoding of a CTC head: mel frames per encoder frame, audio rate in Hz, longest window."""

    subsampling: Annotated[int, Meta(gt=0)] = 4
    sample_rate: Literal[16_000] = 16_000
    window_s: Window = WINDOW_S


class Rnnt(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="rnnt"
):
    """Decoding of a transducer head; `max_symbols` caps emissions per encoder frame."""

    subsampling: Annotated[int, Meta(gt=0)] = 4
    sample_rate: Literal[16_000] = 16_000
    window_s: Window = WINDOW_S
    max_symbols: Annotated[int, Meta(gt=0)] = 10


Config: TypeAlias = Ctc | Rnnt


def traits_of(model: Model) -> Traits:
    """What a model of the family can do.

    Raises:
        IntegrityError: `manifest_invalid`, its decoding parameters are not of the family's form.
    """
    decoding: Config = configured(model, Config)
    return Traits(window_s=decoding.window_s, languages=model.languages, takes_phrases=True)
