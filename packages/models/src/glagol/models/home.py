"""Open the registry of a home folder, with its store or the one that GLAGOL_STORE names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glagol.registry.registry import Registry

__all__ = ["load"]


def load(home: Path) -> Registry:
    """The registry at `home`; GLAGOL_STORE moves the store elsewhere.

    Raises:
        InputError: `setting_invalid`, there is no manifest.
        IntegrityError: `manifest_invalid`, `manifest_too_new`.
    """
    from glagol.registry.registry import Registry

    store = os.environ.get("GLAGOL_STORE")
    return Registry.load(home.absolute(), Path(store).absolute() if store else None)
