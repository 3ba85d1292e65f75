"""Read licence statements and licence texts from a wheel.

Texts come from the dist-info folder; if that has none, from files anywhere in the wheel that have
one of the usual names.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from glagol.bundle.errors import error
from glagol.bundle.licences import rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from pathlib import Path

TEXT = re.compile(
    r"([^/]*[-_.])?(licen[cs]es?|copying|notice|thirdpartynotices)([-_.].*)?", re.IGNORECASE
)
_MAIN = re.compile(
    r"[^/]+\.dist-info/(licen[cs]es/|license_files/)?(licen[cs]e|copying)(\.\w+)?", re.IGNORECASE
)
_STATEMENT_MAX = 200  # characters; some wheels put the whole licence text into the field
_PLACES = ("homepage", "source", "source code", "repository", "github", "documentation")


@dataclass(frozen=True, slots=True)
class Label:
    """What a wheel says about its licence.

    Attributes:
        name: name of the project.
        version: version of the release.
        statements: `License-Expression`, then `License`, then classifiers of licences.
        texts: licence texts by path in the wheel.
        files: every path in the wheel, sorted.
        project: the project's address in the metadata; empty if there is none.
    """

    name: str
    version: str
    statements: tuple[str, ...]
    texts: Mapping[str, bytes]
    files: tuple[str, ...]
    project: str

    @property
    def subject(self) -> str:
        """`NAME-VERSION`."""
        return f"{self.name}-{self.version}"

    @property
    def stated(self) -> str:
        """The statements as one line for a person."""
        return "; ".join(self.statements) or "nothing"

    @property
    def recognised(self) -> str | None:
        """The licence that its text is, or None.

        Of several texts only one counts: the file LICENSE or COPYING of the dist-info folder.
        """
        own = list(self.texts)
        if len(own) > 1:
            own = [path for path in own if _MAIN.fullmatch(path)]
        return rules.recognised(self.texts[own[0]]) if len(own) == 1 else None


def read(path: Path, name: str, version: str) -> Label:
    """Read the licence statements and texts of a wheel.

    Raises:
        IntegrityError: `bundle_altered`, the file is not a wheel.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            names = sorted(wheel.namelist())
            info = next(n for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
            meta = HeaderParser().parsestr(wheel.read(info).decode("utf-8", "replace"))
            texts = {n: wheel.read(n) for n in _texts(names, info.partition("/")[0])}
    except (zipfile.BadZipFile, StopIteration, KeyError) as failed:
        raise error(
            "bundle_altered", f"{path.name} is not a wheel: {failed!r}", "fetch it again"
        ) from failed
    return Label(name, version, tuple(_statements(meta)), texts, tuple(names), _project(meta))


def _statements(meta: Message) -> list[str]:
    found = [*(meta.get_all("License-Expression") or []), *(meta.get_all("License") or [])]
    classifiers = meta.get_all("Classifier") or []
    found += [c for c in classifiers if c.startswith("License ::")]
    return [" ".join(str(text).split())[:_STATEMENT_MAX] for text in found]


def _project(meta: Message) -> str:
    if home := str(meta.get("Home-page") or "").strip():
        return home
    urls = [str(text).partition(",") for text in meta.get_all("Project-URL") or []]
    labelled = {label.strip().lower(): url.strip() for label, _, url in urls}
    return next((labelled[place] for place in _PLACES if place in labelled), "")


def _texts(names: list[str], info: str) -> list[str]:
    own = [n for n in names if n.startswith((f"{info}/licenses/", f"{info}/license_files/"))]
    own += [n for n in names if n not in own and n.rpartition("/")[0] == info]
    listed = [n for n in own if "/licenses/" in n or TEXT.fullmatch(n.rpartition("/")[2])]
    others = [n for n in names if TEXT.fullmatch(n.rpartition("/")[2]) and not n.endswith(".py")]
    found = listed or others
    return [n for n in found if not n.endswith(("/", ".py"))]
