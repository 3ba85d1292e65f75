"""The families whose artifacts are made here: one row for each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from glagol.forge.adopt import Adopted
from glagol.forge.families.bert.family import FAMILY as BERT
from glagol.forge.families.campplus.family import FAMILY as CAMPPLUS
from glagol.forge.families.gigaam.family import FAMILY as GIGAAM
from glagol.forge.families.whisper.family import FAMILY as WHISPER

if TYPE_CHECKING:
    from glagol.forge.families.base import BuildFamily

__all__ = ["FAMILIES"]

_ROWS: Final[tuple[BuildFamily, ...]] = (GIGAAM, WHISPER, BERT, CAMPPLUS, Adopted("silero"))

FAMILIES: Final[Mapping[str, BuildFamily]] = MappingProxyType(
    {family.name: family for family in _ROWS}
)
"""By the manifest's `engine`."""
