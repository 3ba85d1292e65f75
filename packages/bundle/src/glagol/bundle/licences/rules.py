"""Rules for licences: which may be included, how wheels spell them, how texts are recognised.

Statements come first, texts second, judgements last. A statement is a wheel's own metadata; a text
is read when the metadata leaves the licence open; a judgement is ours, for one version of one
wheel, with the evidence beside it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

# of an expression: the metadata states it, the wheel's text is that licence, or we judged
Basis: TypeAlias = Literal["stated", "text", "judged"]

KNOWN = frozenset(
    ["0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause"]
    + ["BSD-3-Clause-Open-MPI", "BSL-1.0", "CC-BY-4.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT"]
    + ["GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-only", "LGPL-2.1-or-later", "MIT-0"]
    + ["MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"]
    + ["LicenseRef-Medusa", "LicenseRef-NVIDIA-CUTLASS-DSL", "LicenseRef-NVIDIA-Proprietary"]
    + ["LicenseRef-Repoze", "LicenseRef-Unstated"]
)
COPYLEFT = ("GPL-", "LGPL-", "MPL-")

_OSI = "license :: osi approved :: "
SPELLED = {
    "mit": "MIT",
    "mit license": "MIT",
    f"{_OSI}mit license": "MIT",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    f"{_OSI}apache software license": "Apache-2.0",
    "isc license": "ISC",
    f"{_OSI}isc license (iscl)": "ISC",
    f"{_OSI}mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "license :: other/proprietary license :: nvidia": "LicenseRef-NVIDIA-Proprietary",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What an open licence's text is known by, in lower-case words parted by single spaces.

    Attributes:
        expression: SPDX.
        has: passages that are all there.
        lacks: passages of its relatives, none of which is there.
        words_max: a longer text says more than this one licence.
    """

    expression: str
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    words_max: int


_MIT = "permission is hereby granted free of charge to any person obtaining a copy of this software"
_MIT_NOTICE = (
    "the above copyright notice and this permission notice shall be included in all copies"
)
_ISC = "software for any purpose with or without fee is hereby granted"
_ISC_NOTICE = "provided that the above copyright notice and this permission notice appear in all"
_BSD = (
    "redistribution and use in source and binary forms with or without modification are permitted"
)
_BSD_NAMES = (
    "may be used to endorse or promote products derived from this software without specific"
)
_BSD_ADVERTISING = "all advertising materials"
_APACHE = "apache license version 2 0 january 2004"
_APACHE_GRANT = "3 grant of patent license"
_LLVM = "llvm exceptions to the apache 2 0 license"
FORMS = (
    Form("MIT", (_MIT, _MIT_NOTICE), (), 260),
    Form("MIT-0", (_MIT,), (_MIT_NOTICE,), 220),
    Form("ISC", (_ISC, _ISC_NOTICE), (), 200),
    Form("0BSD", (_ISC,), (_ISC_NOTICE,), 180),
    Form("BSD-2-Clause", (_BSD,), (_BSD_NAMES, _BSD_ADVERTISING), 260),
    Form("BSD-3-Clause", (_BSD, _BSD_NAMES), (_BSD_ADVERTISING,), 320),
    Form("Apache-2.0", (_APACHE, _APACHE_GRANT), (_LLVM,), 1750),
    Form("Apache-2.0 WITH LLVM-exception", (_APACHE, _APACHE_GRANT, _LLVM), (), 1950),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A proprietary text that was read, by its digest: a changed text has to be read again.

    Attributes:
        expression: what it is called in a bundle.
        distribution: where it speaks of passing files on, and no more than what stands there.
        lists: whether it grants by a list of files, so that it matters which ones it names.
    """

    expression: str
    distribution: str
    lists: bool = False


READ = {
    "ad6f5853fba0ca0d159d0f58d49ae49830c2f8c93f7a92648b9ce90adb4c6ccd": Reading(
        "LicenseRef-NVIDIA-Proprietary",
        "CUDA EULA: 1.1.1 lets what attachment A lists be distributed as part of an application, "
        "under the requirements of 1.1.2; a developer tool that is not listed is for internal use",
        lists=True,
    ),
    "49cf79bdb35734b52fe6203013b3bd759f81e998cd32aa2c65c51db9a88c61d2": Reading(
        "LicenseRef-NVIDIA-Proprietary",
        "cuDNN: 1.1 (iii) lets what its supplement names (section 2: the runtime files .so and .h) "
        "be distributed as part of an application, under the requirements of 1.2",
    ),
    "e8d158885a681b95ec7a6fc06dd8d4a52989f374cb1380c8a4c8fb27fd3d5d5e": Reading(
        "LicenseRef-NVIDIA-Proprietary",
        "cuSPARSELt: 1.1 (iii) lets what its supplement names (section 2: runtime files ending "
        "with .so and .h) be distributed as part of an application, under the requirements of 1.2",
    ),
    "9ed3a0344d6bf9f08420f268d8aa70f7e3930d248edc2cf1a8107a560b483433": Reading(
        "LicenseRef-NVIDIA-CUTLASS-DSL",
        "CUTLASS DSL: 1.1 d lets its Python files be distributed in source form as part of an "
        "application; it has no such grant for the rest, and 2.2 forbids what is not granted",
    ),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Our reading of one version of one wheel whose metadata and text leave the licence open.

    Attributes:
        expression: SPDX.
        evidence: what in the wheel it rests on.
    """

    expression: str
    evidence: str


JUDGED = {
    "cuda-toolkit-13.0.3.0": Judgement(
        "LicenseRef-Unstated",
        "its files: nothing but its own metadata, which names other wheels",
    ),
    "numpy-2.3.5": Judgement(
        "BSD-3-Clause AND BSD-3-Clause-Open-MPI AND GPL-3.0-or-later WITH GCC-exception-3.1"
        " AND LGPL-2.1-or-later AND MIT AND Zlib",
        "its LICENSE.txt, by the parts of the wheel that it lists: numpy itself, lapack-lite, "
        "dragon4, libdivide, OpenBLAS with LAPACK, libgfortran, libquadmath",
    ),
    "nvidia-ml-py-13.615.71": Judgement(
        "BSD-3-Clause", "the head of its pynvml.py, where the three clauses stand"
    ),
    "supervisor-4.3.0": Judgement(
        "BSD-3-Clause AND LicenseRef-Medusa AND LicenseRef-Repoze",
        "its LICENSES.txt, three texts: Repoze's four clauses for supervisor, RDFLib's for "
        "http_client.py, Sam Rushing's for what comes from Medusa",
    ),
    "sympy-1.14.0": Judgement(
        "BSD-3-Clause AND MIT",
        "its LICENSE, text by text: three clauses for SymPy, Diofant, multipledispatch and PyDy, "
        "MIT for latex2sympy",
    ),
}


def known(expression: str) -> bool:
    """Whether every licence that an SPDX expression names is one of `KNOWN`."""
    return bool(parts(expression)) and all(part in KNOWN for part in parts(expression))


def parts(expression: str) -> list[str]:
    """The licences that an SPDX expression names, each with its exception."""
    found = re.split(r"\s+(?:AND|OR)\s+|[()]", expression)
    return [part.strip() for part in found if part.strip()]


def spelled(statement: str) -> str | None:
    """The known expression that a statement of a wheel's metadata stands for, if any."""
    title = statement.lower().partition(" copyright ")[0]  # some put the whole text here
    candidates = (statement, SPELLED.get(title, ""))
    return next((found for found in candidates if known(found)), None)


def recognised(text: bytes) -> str | None:
    """The one licence that a text is, if it is one of `READ` or `FORMS` and nothing else."""
    if reading := READ.get(hashlib.sha256(text).hexdigest()):
        return reading.expression
    words = re.findall(r"\w+", text.decode("utf-8", "replace").lower())
    flat = " ".join(words)
    found = {
        form.expression
        for form in FORMS
        if len(words) <= form.words_max
        and all(passage in flat for passage in form.has)
        and not any(passage in flat for passage in form.lacks)
    }
    return found.pop() if len(found) == 1 else None
