"""Decoding parameters of a manifest entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct

from glagol.core.errors import IntegrityError
from glagol.speech.engines.base import Traits, configured
from glagol.speech.engines.whisper.ids import Ids
from glagol.speech.types import WindowRule

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model

__all__ = ["WINDOW_S", "Config", "traits_of"]

WINDOW_S: Final = 30.0
"""Longest audio that the encoder reads, seconds."""


class Config(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag="attention",
):
    """Parameters that the files of a variant do not contain.

    Attributes:
        mels: mel bands that the encoder reads.
        vocabulary: number of classes; all special ids follow from it.
        alignment_heads: layer and head of the decoder, from 0, whose attention follows the words;
            in the order of the graph's output `queries`.
        translates: whether it was trained to translate into English.
        window: what the encoder reads where the caller does not choose: the speech and a margin
            behind it, or always 30 s.
        margin_s: seconds of the encoder's input behind cropped speech.
        beam: beams of the search where the caller does not choose; 1 is greedy.
        sample_rate: Hz.
    """

    mels: Annotated[int, Meta(gt=0)]
    vocabulary: Annotated[int, Meta(gt=0)]
    alignment_heads: tuple[tuple[int, int], ...]
    translates: bool = False
    window: WindowRule = "cropped"
    margin_s: Annotated[float, Meta(ge=0, le=30)] = 5.0
    beam: Annotated[int, Meta(ge=1, le=16)] = 1
    sample_rate: Literal[16_000] = 16_000


def traits_of(model: Model) -> Traits:
    """What a model can do, from its manifest entry.

    Its languages are those of the entry, or all of the vocabulary's where that states none.

    Raises:
        IntegrityError: `manifest_invalid`, as `configured`; there is no vocabulary of that size, or
            it lacks a language.
    """
    config: Config = configured(model, Config)
    spoken = Ids.of(config.vocabulary).spoken
    if unknown := set(model.languages) - set(spoken):
        raise IntegrityError(
            "manifest_invalid",
            f"{model.id} has no token for the languages {', '.join(sorted(unknown))}",
            "restore manifest.json from the release or from version control",
        )
    return Traits(
        window_s=WINDOW_S,
        languages=model.languages or spoken,
        detects_language=True,
        word_times="aligned",
        takes_prompt=True,
        takes_temperature=True,
        translates=config.translates,
        searches=True,
        needs_speech=True,
    )
