"""The published GigaAM-v3, where it is present, writes the texts of upstream's own tests.

    ./just glagol models build gigaam-v3-e2e-rnnt --fetch --record
    GLAGOL_REAL_MODELS=1 GLAGOL_REAL_AUDIO=DIR ./just test tests/golden

DIR holds upstream's sample `example.wav` (11.3 s; the folder it is published in is named by
`gigaam/__init__.py` of the checkout). GLAGOL_HOME names another home than this checkout. Models
that are not built are skipped; that none is built is a failure.

Texts and times are those of upstream's `tests/test_timestamps.py`, commit 8555893.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from glagol.forge.nano.evaluate.score import edit_distance
from glagol.registry.registry import Registry
from glagol.speech import Recognizer
from glagol.speech.types import Transcript

ROOT = Path(__file__).resolve().parent.parent.parent
PLAIN = (
    "ничьих не требуя похвал счастлив уж я надеждой сладкой что дева с трепетом любви посмотрит "
    "может быть украдкой на песни грешные мои у лукоморья дуб зеленый"
)
TEXTS = {
    "gigaam-v3-ctc": PLAIN,
    "gigaam-v3-rnnt": PLAIN,
    "gigaam-v3-e2e-ctc": (
        "Ничьих, не требуя похвал, счастлив уж я надеждой сладкой, Что дева с трепетом любви "
        "посмотрит, может быть украдкой На песни грешные мои. У лукоморья дуб зелёный."
    ),
    "gigaam-v3-e2e-rnnt": (
        "Ничьих не требуя похвал, Счастлив уж я надеждой сладкой, Что дева с трепетом любви "
        "Посмотрит, может быть, украдкой На песни грешные мои. У лукоморья дуб зелёный."
    ),
}
WORD = "может"
TIMES = {"gigaam-v3-ctc": (6.04, 6.24), "gigaam-v3-e2e-rnnt": (6.08, 6.12)}
"""When that word is said, seconds."""

TOLERANCE_S = 0.1
"""Upstream's own."""

INT8_WORDS = 1
"""Words that int8 may write otherwise."""

pytestmark = pytest.mark.skipif(
    os.environ.get("GLAGOL_REAL_MODELS") != "1",
    reason="needs the published weights: GLAGOL_REAL_MODELS=1, see the module's docstring",
)


@cache
def registry() -> Registry:
    """Of the home that the user names, or of this checkout."""
    home = Path(os.environ.get("GLAGOL_HOME", ROOT))
    store = os.environ.get("GLAGOL_STORE")
    return Registry.load(home, Path(store) if store else None)


def built(model: str, variant: str) -> bool:
    """Whether the manifest pins the variant and the store holds it."""
    found = next((v for v in registry().model(model).variants if v.id == variant), None)
    return bool(
        found
        and found.artifacts
        and all(registry().store.has(artifact.sha256) for artifact in found.artifacts)
    )


@cache
def transcribed(model: str, variant: str) -> Transcript:
    """The transcript of the sample; skips what is not here."""
    if not built(model, variant):
        pytest.skip(f"{model} {variant} is not built: ./just glagol models build {model} --fetch")
    path = Path(os.environ.get("GLAGOL_REAL_AUDIO", "."), "example.wav")
    if not path.is_file():
        pytest.fail(f"{path} is not there: GLAGOL_REAL_AUDIO names the folder of example.wav")
    with path.open("rb") as file:
        return Recognizer.open(registry(), model=model, variant=variant).transcribe(file)


def test_at_least_one_model_is_built() -> None:
    """Asking for the real models where none is must not look like success."""
    assert any(built(model, variant) for model in TEXTS for variant in ("cpu-fp32", "cpu-int8"))


@pytest.mark.parametrize("model", TEXTS)
def test_text_in_fp32_is_upstreams(model: str) -> None:
    assert transcribed(model, "cpu-fp32").text == TEXTS[model]


@pytest.mark.parametrize("model", TEXTS)
def test_text_in_int8_is_upstreams_but_for_a_word(model: str) -> None:
    found = transcribed(model, "cpu-int8").text.split()
    assert edit_distance(TEXTS[model].split(), found) <= INT8_WORDS


@pytest.mark.parametrize("model", TIMES)
def test_a_word_is_where_upstream_finds_it(model: str) -> None:
    transcript = transcribed(model, "cpu-fp32")
    words = [word for segment in transcript.segments for word in segment.words]
    (said,) = [word for word in words if word.text.strip(",").lower() == WORD]
    assert (said.start, said.end) == pytest.approx(TIMES[model], abs=TOLERANCE_S)
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(words))
