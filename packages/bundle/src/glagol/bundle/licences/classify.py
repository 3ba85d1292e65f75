"""Find the licence of a wheel or model: an SPDX expression, its basis, and the licence texts.

A judgement in `rules`, with its evidence, comes first. Else a wheel's licence is stated in its
METADATA (`License-Expression` of PEP 639, then the free `License` field, then classifiers), or is
recognised from its licence text. If none of these applies, the licence is unknown and the build
stops. A known licence that needs a person's decision gets a remark, which `review` lists.

If a wheel contains no licence text, the folder `texts/` beside this module may have the project's
own text (`NAME.txt`), or a licence text that is the same for every work (`EXPRESSION.txt`). If it
has neither, the bundle states that no text was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from glagol.bundle.errors import error
from glagol.bundle.licences import review, rules, wheel_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from glagol.bundle.licences.rules import Basis


@dataclass(frozen=True, slots=True)
class Licence:
    """The licence of one wheel or model.

    Attributes:
        subject: `NAME-VERSION` of a wheel, or the id of a model.
        expression: SPDX expression.
        basis: how it was found: stated in metadata, recognised from the text, or judged in `rules`.
        texts: licence texts by file name; empty if neither the wheel nor `texts/` has one.
        remarks: questions that a person must decide.
        project: the project's address in the metadata; empty if there is none.
    """

    subject: str
    expression: str
    basis: Basis
    texts: Mapping[str, bytes]
    remarks: tuple[review.Remark, ...] = ()
    project: str = ""


def of_wheel(path: Path, name: str, version: str) -> Licence:
    """Find the licence of a wheel.

    Raises:
        IntegrityError: `bundle_licence`, the licence is unknown; `bundle_altered`, the file is not
            a wheel.
    """
    wheel = wheel_metadata.read(path, name, version)
    expression, basis = _expression(wheel)
    if expression is None:
        raise error(
            "bundle_licence",
            f"the licence of {name} {version} is unknown: it states {wheel.stated}",
            "read the licence; if it allows shipping, add it to glagol.bundle.licences.rules",
        )
    remarks = review.remarks(wheel, expression, basis)
    texts = wheel.texts
    if not texts:
        texts, description = _supplied(wheel, expression)
        remarks.append(review.Remark("no-text", f"the wheel carries none; {description}"))
    return Licence(wheel.subject, expression, basis, texts, tuple(sorted(remarks)), wheel.project)


def of_model(
    model_id: str, expression: str, own: Mapping[str, bytes], kin: Mapping[str, bytes]
) -> Licence:
    """Find the licence of a model in its manifest entry and its tracked files.

    Args:
        model_id: id of the model.
        expression: SPDX expression in the manifest.
        own: the model's files (models/ID/) by path.
        kin: files of all models of the same source by path; used when `own` has no licence text.

    Raises:
        IntegrityError: `bundle_licence`, the licence is unknown, or there is no text.
    """
    texts: dict[str, bytes] = {}
    for files in (own, kin):
        texts = texts or {
            n: d for n, d in files.items() if wheel_metadata.TEXT.fullmatch(n.rpartition("/")[2])
        }
    known = rules.known(expression)
    if not known or not texts:
        why = "carries no licence text" if known else f"has the licence {expression!r}"
        raise error(
            "bundle_licence",
            f"the model {model_id} {why}",
            f"add models/{model_id}/LICENSE, or leave the model out with --model",
        )
    return Licence(model_id, expression, "stated", texts)


def table(licences: Iterable[Licence]) -> bytes:
    """Write LIST.tsv: a row for each licence, with its basis and its number of texts."""
    rows = [("subject", "expression", "basis", "texts", "project")]
    rows += [
        (found.subject, found.expression, found.basis, str(len(found.texts)), found.project)
        for found in licences
    ]
    return _tsv(rows)


def questions(licences: Iterable[Licence]) -> bytes:
    """Write REVIEW.tsv: a row for each remark."""
    rows = [("subject", "expression", "question", "rests on")]
    rows += [
        (found.subject, found.expression, remark.kind, remark.detail)
        for found in licences
        for remark in found.remarks
    ]
    return _tsv(rows)


def _expression(wheel: wheel_metadata.Label) -> tuple[str | None, Basis]:
    if judgement := rules.JUDGED.get(wheel.subject):
        return judgement.expression, "judged"
    for statement in wheel.statements:
        if found := rules.spelled(statement):
            return found, "stated"
    return wheel.recognised, "text"


def _supplied(wheel: wheel_metadata.Label, expression: str) -> tuple[dict[str, bytes], str]:
    """The text for a wheel that has none (empty if `texts/` has none either), and a description."""
    given = {wheel.name: "the project's own is added", expression: "the standard one is added"}
    for name, description in given.items():
        text = resources.files("glagol.bundle.licences").joinpath("texts", f"{name}.txt")
        if text.is_file():
            return {f"{name}.txt": text.read_bytes()}, description
    return {}, f"none is added; project: {wheel.project or 'no address stated'}"


def _tsv(rows: Iterable[tuple[str, ...]]) -> bytes:
    return "".join(
        "\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows
    ).encode()
