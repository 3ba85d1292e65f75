"""Choose the variant of a model for the processor and the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.runtime.kernels.int8 import REPLACED, inexact

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["build_of"]


def build_of(
    registry: Registry, model: Model, asked: str | None, device: str, *, kernels: bool = False
) -> str | None:
    """Choose a variant: the requested one, else the first that was made for the device.

    If this processor computes the variant's precision inexactly (`glagol.runtime.kernels.int8`),
    and the store has the variant that replaces it, that one is chosen.

    Args:
        registry: its store is searched for the replacement.
        model: the manifest entry.
        asked: id of a variant; None for the first one made for the device.
        device: "cpu" or "cuda".
        kernels: whether Glagol's native library computes all of the model's int8 products on
            processors that it supports.

    Returns:
        Id of a variant; None leaves the choice to the registry.
    """
    return _exact(registry, model, asked or _made_for(model, device), kernels=kernels)


def _made_for(model: Model, device: str) -> str | None:
    """The first variant that was made for the device; None leaves the choice to the registry."""
    made = [v.id for v in model.variants if v.artifacts and v.provider == device]
    return made[0] if made else None


def _exact(registry: Registry, model: Model, asked: str | None, *, kernels: bool) -> str | None:
    """The requested variant, or the one that replaces it on this processor."""
    found = next((v for v in model.variants if v.id == asked), None)
    if found is None or found.precision not in REPLACED or not inexact(kernels=kernels):
        return asked
    for other in model.variants:
        fits = (other.provider, other.precision) == (found.provider, REPLACED[found.precision])
        if fits and other.artifacts and all(registry.store.has(a.sha256) for a in other.artifacts):
            return other.id
    return asked
