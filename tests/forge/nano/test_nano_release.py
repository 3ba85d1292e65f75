# ruff: noqa: E402 - what the imports below need may be absent
"""What models/gigaam-nano holds is what the recipe says and the card tells."""

import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")
pytest.importorskip("num2words")
np = pytest.importorskip("numpy")
av = pytest.importorskip("av")

from glagol.forge.nano import release, sizes
from glagol.forge.nano.evaluate import recognisers
from glagol.forge.nano.train import weights

MODEL = Path(__file__).resolve().parents[3] / "models" / "gigaam-nano"


def test_the_card_names_the_weights_and_the_results_are_theirs() -> None:
    digest = hashlib.sha256((MODEL / "weights.safetensors").read_bytes()).hexdigest()
    assert digest in (MODEL / "card.md").read_text(encoding="utf-8")
    results = json.loads((MODEL / "evaluation.json").read_text(encoding="utf-8"))
    assert results["weights_sha256"] == digest


def test_the_configuration_is_the_recipe_s() -> None:
    assert json.loads((MODEL / "config.json").read_text(encoding="utf-8")) == (
        release.configuration()
    )


def test_the_card_s_table_is_the_measured_one() -> None:
    card = (MODEL / "card.md").read_text(encoding="utf-8")
    results = json.loads((MODEL / "evaluation.json").read_text(encoding="utf-8"))
    for row in results["rows"]:
        line = next(line for line in card.splitlines() if f"| {row['case']} |" in line)
        wer = 100 * row["word_errors"] / row["words"]
        cer = 100 * row["letter_errors"] / row["letters"]
        assert f"{wer:.1f} / {cer:.2f}" in line


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_both_heads_write_the_golden_transcript(head: str) -> None:
    expected = " ".join(sentence.target for sentence in release.golden_sentences())
    transcript = (MODEL / "golden" / "transcript.txt").read_text(encoding="utf-8")
    assert transcript == expected + "\n"
    with av.open(str(MODEL / "golden" / "clip.flac")) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    wave = np.concatenate(frames).astype(np.float32) / 32768
    model = sizes.build(sizes.SHIPPED).eval()
    model.load_state_dict(weights.load_exported(MODEL / "weights.safetensors"))
    assert recognisers.torch_recogniser(model, head)([wave]) == [expected]


def test_the_shipped_front_end_is_the_recipe_s() -> None:
    from safetensors.numpy import load_file

    from glagol.forge.nano.speech.features import mel_bank, window

    held = load_file(MODEL / "weights.safetensors")
    assert held[weights.WINDOW_KEY].dtype == np.float32
    assert np.array_equal(held[weights.WINDOW_KEY], window())
    assert np.array_equal(held[weights.MEL_KEY], mel_bank())
