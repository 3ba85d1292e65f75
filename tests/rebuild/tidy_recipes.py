"""Recipes on a machine that lets them keep nothing: they need the checkout and its tools."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("home", ["/dev/null", None])
def test_recipes_need_no_home(home: str | None) -> None:
    """Where uv cannot keep its cache below HOME, it is beside the environments."""
    kept = ("HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in kept}
    environment |= {"HOME": home} if home else {}
    command = [str(ROOT / "just"), "--command", "printenv", "UV_CACHE_DIR"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(ROOT / ".env/.cache")
