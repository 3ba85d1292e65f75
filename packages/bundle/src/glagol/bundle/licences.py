"""Licences of wheels and models: an SPDX expression and the texts, or the build stops.

A wheel states its licence in METADATA: `License-Expression` (PEP 639), else the free `License`
field, else classifiers. The last two are read through `SPELLED`; what it does not know is unknown.
Texts come from the dist-info folder, else from files of the usual names anywhere in the wheel, else
from `texts/` beside this module, which holds those that a wheel forgot to carry.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib import resources
from typing import TYPE_CHECKING

from glagol.bundle.fault import error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from pathlib import Path

KNOWN = frozenset(
    ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC"]
    + ["LGPL-2.1-or-later", "MIT", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"]
    + ["LicenseRef-NVIDIA-Proprietary", "Apache-2.0 WITH LLVM-exception"]
)
SPELLED = {
    "mit": "MIT",
    "mit license": "MIT",
    "license :: osi approved :: mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "license :: osi approved :: apache software license": "Apache-2.0",
    "license :: osi approved :: mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "license :: other/proprietary license :: nvidia": "LicenseRef-NVIDIA-Proprietary",
}
_TEXT = re.compile(
    r"([^/]*[-_.])?(licen[cs]es?|copying|notice|thirdpartynotices)([-_.].*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Licence:
    """What one wheel or model may be used under.

    Attributes:
        subject: `NAME-VERSION` of a wheel, the id of a model.
        expression: SPDX.
        texts: file name to text.
    """

    subject: str
    expression: str
    texts: Mapping[str, bytes]


def of_wheel(path: Path, name: str, version: str) -> Licence:
    """Read a wheel's licence.

    Raises:
        IntegrityError: `bundle_licence`, the licence is unknown or its text is nowhere;
            `bundle_altered`, the file is not a wheel.
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
    expression = _expression(meta)
    if expression is None:
        stated = "; ".join(_stated(meta)) or "nothing"
        raise error(
            "bundle_licence",
            f"the licence of {name} {version} is unknown: it states {stated}",
            "read it; when it may be shipped, add its spelling to glagol.bundle.licences",
        )
    if not texts:
        texts = _supplement(name)
    if not texts:
        raise error(
            "bundle_licence",
            f"{name} {version} ({expression}) carries no licence text",
            f"add the text as texts/{name}.txt of glagol.bundle",
        )
    return Licence(f"{name}-{version}", expression, texts)


def of_model(
    model_id: str, expression: str, own: Mapping[str, bytes], kin: Mapping[str, bytes]
) -> Licence:
    """A model's licence from its manifest entry and tracked files.

    Args:
        model_id: the model.
        expression: SPDX, as the manifest states it.
        own: files of models/ID/ by path.
        kin: files of every model made from the same source, taken when `own` has no text.

    Raises:
        IntegrityError: `bundle_licence`.
    """
    texts: dict[str, bytes] = {}
    for files in (own, kin):
        texts = texts or {n: d for n, d in files.items() if _TEXT.fullmatch(n.rpartition("/")[2])}
    if not known(expression) or not texts:
        why = "carries no licence text" if known(expression) else f"has the licence {expression!r}"
        raise error(
            "bundle_licence",
            f"the model {model_id} {why}",
            f"add models/{model_id}/LICENSE, or leave the model out with --model",
        )
    return Licence(model_id, expression, texts)


def known(expression: str) -> bool:
    """Whether every licence that an SPDX expression names is one of `KNOWN`."""
    parts = re.split(r"\s+(?:AND|OR)\s+|[()]", expression)
    return bool(expression) and all(p.strip() in KNOWN for p in parts if p.strip())


def _expression(meta: Message) -> str | None:
    for stated in _stated(meta):
        title = stated.lower().partition(" copyright ")[0]  # some put the whole text here
        for candidate in (stated, SPELLED.get(title, "")):
            if known(candidate):
                return candidate
    return None


def _stated(meta: Message) -> list[str]:
    found = [*(meta.get_all("License-Expression") or []), *(meta.get_all("License") or [])]
    classifiers = meta.get_all("Classifier") or []
    found += [c for c in classifiers if c.startswith("License ::")]
    return [" ".join(str(text).split())[:200] for text in found]


def _texts(names: list[str], info: str) -> list[str]:
    own = [n for n in names if n.startswith((f"{info}/licenses/", f"{info}/license_files/"))]
    own += [n for n in names if n not in own and n.rpartition("/")[0] == info]
    listed = [n for n in own if "/licenses/" in n or _TEXT.fullmatch(n.rpartition("/")[2])]
    others = [n for n in names if _TEXT.fullmatch(n.rpartition("/")[2]) and not n.endswith(".py")]
    found = listed or others
    return [n for n in found if not n.endswith(("/", ".py"))]


def _supplement(name: str) -> dict[str, bytes]:
    text = resources.files("glagol.bundle").joinpath("texts", f"{name}.txt")
    return {f"{name}.txt": text.read_bytes()} if text.is_file() else {}
