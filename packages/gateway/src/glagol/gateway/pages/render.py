"""Templates to pages, and the addresses of the files beside them."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["asset", "asset_path", "page", "words"]

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE / "static"
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def assets_digest() -> str:
    """Digest of all files that pages load; part of their addresses."""
    digest = hashlib.sha256()
    for path in sorted(_STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def asset(name: str) -> str:
    """The address of a file that pages load; another one when any of the files changes."""
    return f"/assets/{assets_digest()}/{name}"


def asset_path(name: str) -> Path | None:
    """The file of that name; None where there is none."""
    known = {path.name: path for path in _STATIC.iterdir()}
    return known.get(name)


@cache
def words(language: str) -> dict[str, str]:
    """The texts of pages in a language, "ru" or "en"."""
    text = (_HERE / "words.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)[language]
    return found


def page(template: str, language: str, **values: Any) -> bytes:
    """A page.

    Args:
        template: Name of its template.
        language: "ru" or "en".
        **values: What the template shows.
    """
    made = _ENVIRONMENT.get_template(template)
    return made.render(lang=language, t=words(language), asset=asset, **values).encode()
