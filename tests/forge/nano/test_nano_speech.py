"""Speech of gigaam-nano: the same clip every time, shards that are whole or absent."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("scipy")
pytest.importorskip("num2words")

from glagol.forge.nano.evaluate import suites
from glagol.forge.nano.speech.clips import Clip, learnable, read_shard, read_shards, write_shard
from glagol.forge.nano.speech.synthesis import Plan, plan_shards, speak_espeak
from glagol.forge.nano.speech.voices import HELD_OUT_VOICES, SEEN_VOICES, Manner, espeak, trim
from glagol.forge.nano.text.cleaning import Sentence

needs_espeak = pytest.mark.skipif(
    not shutil.which("espeak-ng"), reason="espeak-ng is not installed"
)


def sine(seconds: float) -> NDArray[np.int16]:
    wave = np.sin(np.arange(int(16000 * seconds)) * 0.3)
    samples: NDArray[np.int16] = (wave * 8000).astype(np.int16)
    return samples


def test_held_out_voices_are_never_trained() -> None:
    assert len(set(HELD_OUT_VOICES)) == 10
    assert not set(HELD_OUT_VOICES) & set(SEEN_VOICES)


def test_trim_leaves_a_margin_of_silence() -> None:
    silence = np.zeros(16000, np.int16)
    assert len(trim(np.concatenate([silence, sine(1.0), silence]))) == pytest.approx(19200, abs=9)
    assert len(trim(silence)) == 0


def test_a_shard_keeps_what_fits_and_reads_back(tmp_path: Path) -> None:
    clips = [
        Clip(sine(2.0), "espeak:ru", "number", "раз два"),
        Clip(sine(0.1), "espeak:ru", "number", "слишком коротко"),
        Clip(sine(1.0), "espeak:f1", "number", "три"),
    ]
    kept, dropped, hours = write_shard(tmp_path / "train-a", clips)
    assert (kept, dropped) == (2, 1)
    assert hours == pytest.approx(3 / 3600)
    first, second = read_shard(tmp_path / "train-a")
    assert np.array_equal(second.pcm, clips[2].pcm)
    assert (first.text, second.voice) == ("раз два", "espeak:f1")
    assert not list(tmp_path.glob("*.partial"))
    assert len(read_shards(tmp_path, "train-*")) == 2


def test_a_clip_needs_a_frame_for_each_letter_and_one_between_doubled_letters() -> None:
    assert learnable(16000, "а" + "бв" * 10)
    assert not learnable(16000, "а" * 21)


def test_finished_shards_are_not_planned_again(tmp_path: Path) -> None:
    lines = "".join(f"number\tтекст {n}\tтекст {n}\n" for n in range(5))
    (tmp_path / "train.tsv").write_text(lines, encoding="utf-8")
    plan = Plan(festival_sentences=2, shard_sentences=2)
    names = [shard.name for shard in plan_shards(tmp_path, tmp_path, plan, seed=1)]
    assert names == [
        "train-espeak-000",
        "train-espeak-001",
        "train-espeak-002",
        "train-festival-000",
    ]
    (tmp_path / "train-espeak-001.tsv").touch()
    left = plan_shards(tmp_path, tmp_path, plan, seed=1)
    assert [shard.name for shard in left] == [names[0], names[2], names[3]]


@needs_espeak
def test_espeak_says_the_same_samples_again() -> None:
    manner = Manner("f2", speed=150, pitch=40)
    once, twice = espeak("Проверка связи.", manner), espeak("Проверка связи.", manner)
    assert len(once) > 8000
    assert np.array_equal(once, twice)


@needs_espeak
def test_a_clip_does_not_depend_on_its_shard() -> None:
    sentences = tuple(Sentence("x", f"Номер {w}.", f"номер {w}") for w in ("пять", "семь", "два"))
    whole = list(speak_espeak(sentences, 0, 7, SEEN_VOICES, "train"))
    tail = list(speak_espeak(sentences[1:], 1, 7, SEEN_VOICES, "train"))
    for one, other in zip(whole[1:], tail, strict=True):
        assert one.voice == other.voice
        assert np.array_equal(one.pcm, other.pcm)


def test_noise_is_of_the_level_it_says_and_always_the_same() -> None:
    clip = Clip(sine(2.0), "v", "p", "раз")
    noisy = suites.distorted([clip], suites.white_noise(10))[0]
    again = suites.distorted([clip], suites.white_noise(10))[0]
    assert np.array_equal(noisy.pcm, again.pcm)
    added = noisy.waveform - clip.waveform
    ratio = 10 * np.log10(np.mean(clip.waveform**2) / np.mean(added**2))
    assert ratio == pytest.approx(10, abs=0.3)


def test_the_telephone_has_no_treble() -> None:
    draw = np.random.default_rng(1)
    filtered = suites.telephone(draw.standard_normal(16000).astype(np.float32) * 0.1, 0)
    spectrum = np.abs(np.fft.rfft(filtered)) ** 2
    assert spectrum[4200:].sum() < 1e-3 * spectrum.sum()
