"""Templates to pages, and the files that pages load."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from glagol.gateway.pages.words import LANGUAGES, hms, iso, words

__all__ = ["Asset", "asset", "assets", "digest", "embedded", "page"]

_HERE: Final = Path(__file__).parent
_LEVEL: Final = 9
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load: its bytes, the same compressed by gzip, its media type."""

    body: bytes
    pressed: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Every file that pages load, by name; `words.LANGUAGE.js` are the words for scripts."""
    bodies = {path.name: path.read_bytes() for path in (_HERE / "static").iterdir()}
    for each in LANGUAGES:
        text = json.dumps(words(each).texts, ensure_ascii=False, separators=(",", ":"))
        bodies[f"words.{each}.js"] = f"export default {text};\n".encode()
    return {
        name: Asset(body, gzip.compress(body, _LEVEL, mtime=0), _media_type(name))
        for name, body in sorted(bodies.items())
    }


@cache
def digest() -> str:
    """Of all these files: part of their addresses, so that browsers may keep them."""
    whole = hashlib.sha256()
    for name, each in assets().items():
        whole.update(name.encode() + b"\0" + each.body)
    return whole.hexdigest()[:16]


def asset(name: str) -> str:
    """The address of a file that pages load; another one when any of the files changes.

    Raises:
        KeyError: There is no such file.
    """
    if name not in assets():
        raise KeyError(name)
    return f"/assets/{digest()}/{name}"


def embedded(data: bytes) -> str:
    """JSON that may stand inside a `<script type="application/json">`."""
    text = data.decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def page(template: str, language: str, **values: Any) -> bytes:
    """A page.

    Args:
        template: Name of its template.
        language: "ru" or "en".
        **values: What the template shows.
    """
    said = words(language)
    made = _ENVIRONMENT.get_template(template)
    tools = {"t": said, "asset": asset, "hms": hms, "iso": iso, "number": said.number}
    tools |= {"size": said.size, "when": said.when}
    return made.render(lang=language, **tools, **values).encode()


def _media_type(name: str) -> str:
    if name.endswith(".js"):
        return "text/javascript"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
