"""Licences of wheels and models: an SPDX expression with its basis, and the texts.

A wheel's licence comes from its METADATA (`License-Expression` of PEP 639, else the free `License`
field, else classifiers), else from its licence text, else from a judgement in `rules`, with the
evidence. If none of these applies, the licence is unknown and the build stops. A known licence that
needs a person's decision gets a remark, which `review` lists.

In place of a text that a wheel forgot, `texts/` beside this module has the project's own
(`NAME.txt`) or a licence's that is the same for every work (`EXPRESSION.txt`); without either the
bundle says that there is none.
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
    """What one wheel or model may be used under.

    Attributes:
        subject: `NAME-VERSION` of a wheel, the id of a model.
        expression: SPDX.
        basis: whether metadata states it, its text is that licence, or we judged.
        texts: file name to text; empty where the wheel carries none and none is supplied.
        remarks: what is left to a person.
        project: address that the metadata gives; empty without one.
    """

    subject: str
    expression: str
    basis: Basis
    texts: Mapping[str, bytes]
    remarks: tuple[review.Remark, ...] = ()
    project: str = ""


def of_wheel(path: Path, name: str, version: str) -> Licence:
    """Read a wheel's licence.

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
            "read it; when it may be shipped, add what is missing to glagol.bundle.licences.rules",
        )
    remarks = review.remarks(wheel, expression, basis)
    texts = wheel.texts
    if not texts:
        texts, said = _supplied(wheel, expression)
        remarks.append(review.Remark("no-text", f"the wheel carries none; {said}"))
    return Licence(wheel.subject, expression, basis, texts, tuple(sorted(remarks)), wheel.project)


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
    """LIST.tsv: every licence, in order, with where it comes from and how many texts are here."""
    rows = [("subject", "expression", "basis", "texts", "project")]
    rows += [
        (found.subject, found.expression, found.basis, str(len(found.texts)), found.project)
        for found in licences
    ]
    return _tsv(rows)


def questions(licences: Iterable[Licence]) -> bytes:
    """REVIEW.tsv: every remark."""
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
    """The text in place of the one that a wheel forgot, and what it is."""
    given = {wheel.name: "the project's own is added", expression: "the standard one is added"}
    for name, said in given.items():
        text = resources.files("glagol.bundle.licences").joinpath("texts", f"{name}.txt")
        if text.is_file():
            return {f"{name}.txt": text.read_bytes()}, said
    return {}, f"none is added; project: {wheel.project or 'no address stated'}"


def _tsv(rows: Iterable[tuple[str, ...]]) -> bytes:
    return "".join(
        "\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows
    ).encode()
