"""Natural Russian text that Debian packages carry: aphorisms and documentation."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

_ATTRIBUTION = re.compile(r"\s*(--|©)")
_BULLET = re.compile(r"^\s*[-–—*]+\s*")
_ROFF_ESCAPE = re.compile(r"\\f[A-Z]|\\\(..|\\[&-]")
_BLOCK_TAG = re.compile(r"</?(p|li|h\d|div|td)[^>]*>")
_INLINE_TAG = re.compile(r"<(?!/?(p|li|h\d|div|td)\b)[^>]*>")
_ENTITY = re.compile(r"&[a-z#0-9]+;")


def _fortune_line(line: str) -> str:
    if line.strip() == "%" or _ATTRIBUTION.match(line):
        return ""
    return _BULLET.sub("\n", line)


def aphorisms(folder: Path) -> Iterator[str]:
    """Yield the text of each fortune file in UTF-8; entries become paragraphs."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.suffix in {".dat", ".u8"} or not path.is_file():
            continue
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        yield "\n".join(_fortune_line(line) for line in text.split("\n"))


def manuals(folder: Path) -> Iterator[str]:
    """Yield the running text of each compressed manual page, without its markup."""
    for path in sorted(folder.glob("man*/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
            text = _ROFF_ESCAPE.sub("", file.read())
        yield "\n".join("" if line.startswith((".", "'")) else line for line in text.split("\n"))


def help_pages(folder: Path) -> Iterator[str]:
    """Yield the text of each HTML page under the folder; block tags part paragraphs."""
    for path in sorted(folder.rglob("*.html")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        text = _BLOCK_TAG.sub("\n\n", _INLINE_TAG.sub(" ", text))
        yield _ENTITY.sub(" ", text)
