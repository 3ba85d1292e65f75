"""Licences of wheels: stated, read in the text, judged, or unknown; what a person is asked."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from bundle import made
from glagol.bundle.licences import classify, rules
from glagol.core.errors import IntegrityError
from glagol.registry.manifest.read import parse
from glagol.registry.manifest.types import Model

TEXTS = made.REPOSITORY / made.OWN / "licences/texts"
MIT = (TEXTS / "obstore.txt").read_text(encoding="utf-8")
APACHE = (TEXTS / "Apache-2.0.txt").read_text(encoding="utf-8")
CLAUSES = """Copyright (c) 2020, Jane Doe. All rights reserved.
Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met: (1) ... (2) ...
"""
NAMES = """The names of its contributors may be used to endorse or promote products derived from
this software without specific prior written permission: not at all.
"""
NVIDIA = "License-Expression: LicenseRef-NVIDIA-Proprietary\n"


def place(folder: Path, meta: str, files: dict[str, str], name: str = "w") -> Path:
    """A wheel of version 1 with these files alone; `INFO` stands for its dist-info folder."""
    info = f"{name}-1.dist-info"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\n{meta}\n")
        for inside, text in files.items():
            wheel.writestr(inside.replace("INFO", info), text)
    path = folder / f"{name}-1-py3-none-any.whl"
    path.write_bytes(out.getvalue())
    return path


def asked(found: classify.Licence) -> dict[str, str]:
    """What a person is asked, by kind."""
    return {remark.kind: remark.detail for remark in found.remarks}


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0\n", "MIT OR Apache-2.0"),
        ("License-Expression: (MIT AND Zlib) OR 0BSD\n", "(MIT AND Zlib) OR 0BSD"),
        ("License-Expression: Apache-2.0 AND CNRI-Python\n", "Apache-2.0 AND CNRI-Python"),
        ("License: Apache 2.0\n", "Apache-2.0"),
        ("License: MIT License\n        Copyright (c) Jane Doe\n        Permission...\n", "MIT"),
        ("Classifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("", None),
        ("License: BSD\n", None),  # of two or of three clauses
        ("License: Other/Proprietary\n", None),
        ("License-Expression: MIT AND LicenseRef-Secret\n", None),
        ("License-Expression: AGPL-3.0-only\n", None),
        ("Classifier: License :: OSI Approved\n", None),
        ("Classifier: License :: Other/Proprietary License\n", None),
    ],
)
def test_what_metadata_states(tmp_path: Path, meta: str, expected: str | None) -> None:
    """Stated well, stated in old ways, or unknown: then nothing is packed."""
    path = place(tmp_path, meta, {"INFO/LICENSE": "its own words"})
    if expected is None:
        with pytest.raises(IntegrityError, match="w 1") as caught:
            classify.of_wheel(path, "w", "1")
        assert caught.value.code == "bundle_licence"
    else:
        found = classify.of_wheel(path, "w", "1")
        assert (found.expression, found.basis) == (expected, "stated")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (MIT.upper().replace(" ", "\n\t"), "MIT"),
        (MIT.replace("The above copyright notice", "No notice"), "MIT-0"),
        (APACHE, "Apache-2.0"),
        (f"Copyright 2018- Jane Doe\n{APACHE}", "Apache-2.0"),
        (CLAUSES, "BSD-2-Clause"),
        (CLAUSES + NAMES, "BSD-3-Clause"),
        (CLAUSES + NAMES + "All advertising materials must say so.", None),
        (CLAUSES + MIT, None),  # two licences in one file
        (APACHE + MIT, None),
        (MIT + "Also, never on a Sunday. " * 30, None),
        ("", None),
    ],
)
def test_what_a_text_is(tmp_path: Path, text: str, expected: str | None) -> None:
    """One licence and nothing else, whatever its case and line ends; read when none is stated."""
    assert rules.recognised(text.encode()) == expected
    path = place(tmp_path, "License: BSD\n", {"INFO/licenses/LICENSE": text})
    if expected is None:
        with pytest.raises(IntegrityError, match="it states BSD"):
            classify.of_wheel(path, "w", "1")
    else:
        found = classify.of_wheel(path, "w", "1")
        assert (found.expression, found.basis) == (expected, "text")
        assert expected in asked(found)["from-text"]


def test_the_main_text_counts(tmp_path: Path) -> None:
    """Of several files the one with the plain name, and none of others' code."""
    files = {"INFO/licenses/LICENSE": MIT, "INFO/licenses/LICENSES.third-party": APACHE}
    found = classify.of_wheel(place(tmp_path, "", files), "w", "1")
    assert found.expression == "MIT"
    assert len(found.texts) == 2
    files = {"INFO/licenses/third_party/LICENSE": MIT, "INFO/licenses/NOTICE": "of others"}
    with pytest.raises(IntegrityError, match="unknown"):
        classify.of_wheel(place(tmp_path, "", files), "w", "1")


def test_a_wheel_that_forgot_its_text(tmp_path: Path) -> None:
    """The project's own or the standard one is added; else it is said that there is none."""
    own = classify.of_wheel(place(tmp_path, "License: MIT\n", {}, "obstore"), "obstore", "1")
    assert list(own.texts) == ["obstore.txt"]
    assert "project's own" in asked(own)["no-text"]
    standard = classify.of_wheel(place(tmp_path, "License: Apache 2.0\n", {}), "w", "1")
    assert standard.texts == {"Apache-2.0.txt": APACHE.encode()}
    assert "standard" in asked(standard)["no-text"]
    meta = "License: MIT\nProject-URL: Source, https://example.invalid/w\n"
    none = classify.of_wheel(place(tmp_path, meta, {}), "w", "1")
    assert none.texts == {}
    assert "https://example.invalid/w" in asked(none)["no-text"]
    assert b"w-1\tMIT\tstated\t0\thttps://example.invalid/w\n" in classify.table([none])


@pytest.mark.parametrize(
    ("meta", "text", "question"),
    [
        ("License: MIT\n", MIT, ""),
        ("License-Expression: MIT OR Apache-2.0\n", MIT, ""),
        ("License-Expression: Apache-2.0\n", MIT, "its text is MIT"),
        (
            "License: Apache 2.0\nClassifier: License :: OSI Approved :: MIT License\n",
            APACHE,
            "MIT",
        ),
        ("License: MIT\nClassifier: License :: Other/Proprietary License\n", MIT, "Proprietary"),
        (NVIDIA, CLAUSES + NAMES, "its text is BSD-3-Clause"),
    ],
)
def test_contradictions_are_questions(tmp_path: Path, meta: str, text: str, question: str) -> None:
    """Between statements, and between them and the text; agreement asks nothing."""
    found = classify.of_wheel(place(tmp_path, meta, {"INFO/LICENSE": text}), "w", "1")
    assert ("conflict" in asked(found)) == bool(question)
    assert question in asked(found).get("conflict", "")


def test_duties_are_questions(tmp_path: Path) -> None:
    """Copyleft, and libraries of others that travel inside."""
    files = {"INFO/LICENSE": "long", "w.libs/": "", "w.libs/libav-1.so.2": "", "w/own.so": ""}
    path = place(tmp_path, "License-Expression: MIT AND LGPL-2.1-only\n", files)
    found = asked(classify.of_wheel(path, "w", "1"))
    assert found["copyleft"].startswith("LGPL-2.1-only:")
    assert found["native-libraries"] == "of other projects: libav-1.so.2"


def test_proprietary_texts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By digest: one that was read gives clauses and the files it names; a new one says so."""
    text = "End user licence: libone.so may be passed on."
    files = {"INFO/License.txt": text, "nvidia/lib/libone.so.13": "", "nvidia/lib/libtwo.so": ""}
    path = place(tmp_path, NVIDIA, files)
    assert asked(classify.of_wheel(path, "w", "1"))["proprietary"] == "its text is not reviewed"
    reading = rules.Reading("LicenseRef-NVIDIA-CUTLASS-DSL", "clause 1", lists=True)
    monkeypatch.setitem(rules.READ, hashlib.sha256(text.encode()).hexdigest(), reading)
    said = asked(classify.of_wheel(path, "w", "1"))["proprietary"]
    assert said.startswith("clause 1; ")
    assert "names: libone.so;" in said
    assert said.endswith("does not name: libtwo.so")
    unnamed = place(tmp_path, "Classifier: License :: Other/Proprietary License\n", files)
    assert classify.of_wheel(unnamed, "w", "1").expression == "LicenseRef-NVIDIA-CUTLASS-DSL"
    empty = place(tmp_path, NVIDIA, {})
    assert asked(classify.of_wheel(empty, "w", "1"))["proprietary"] == "there is no text to read"


def test_judgements_are_of_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown with their evidence; the next release has to be read again."""
    judgement = rules.Judgement("MIT AND 0BSD", "its head")
    monkeypatch.setitem(rules.JUDGED, "w-1", judgement)
    path = place(tmp_path, "License: BSD-like\n", {})
    found = classify.of_wheel(path, "w", "1")
    assert (found.expression, found.basis) == ("MIT AND 0BSD", "judged")
    assert asked(found)["judged"] == "states: BSD-like; rests on its head"
    with pytest.raises(IntegrityError, match="w 2"):
        classify.of_wheel(path, "w", "2")


def test_judgements_are_of_locked_wheels() -> None:
    """A new version in a lock asks for a new reading, and an old one goes."""
    plans = [json.loads(p.read_bytes()) for p in (made.REPOSITORY / "lock").glob("*-linux.json")]
    locked = {f"{row['name']}-{row['version']}" for plan in plans for row in plan}
    assert rules.JUDGED.keys() <= locked


def test_tables_of_terms_agree() -> None:
    """Whatever they lead to may be carried, and each judgement says why."""
    found = {*rules.SPELLED.values()}
    found |= {form.expression for form in rules.FORMS}
    found |= {reading.expression for reading in rules.READ.values()}
    found |= {judgement.expression for judgement in rules.JUDGED.values()}
    assert all(map(rules.known, found))
    assert all(judgement.evidence for judgement in rules.JUDGED.values())


LLMS = [
    model
    for model in parse((made.REPOSITORY / "manifest.json").read_bytes()).models
    if model.engine == "vllm"
]


@pytest.mark.parametrize("model", LLMS, ids=lambda model: model.id)
def test_language_models_have_their_text(model: Model) -> None:
    """Whichever of them a bundle is asked to carry: the text of the licence that is stated."""
    path = f"models/{model.id}/LICENSE"
    text = (made.REPOSITORY / path).read_bytes()
    assert rules.recognised(text) == model.license
    assert classify.of_model(model.id, model.license, {path: text}, {}).texts == {path: text}


def test_questions_are_rows(tmp_path: Path) -> None:
    """One row a question, with no line end or tab inside a cell."""
    meta = "License: MIT\nHome-page: https://example.invalid/a\tb\n"
    found = classify.of_wheel(place(tmp_path, meta, {}), "w", "1")
    head, row = classify.questions([found]).decode().splitlines()
    assert head.split("\t")[:3] == ["subject", "expression", "question"]
    assert row.split("\t")[:3] == ["w-1", "MIT", "no-text"]
    assert len(row.split("\t")) == 4
