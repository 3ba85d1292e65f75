"""What the recipe leaves in ``models/gigaam-nano``: weights, configuration, golden clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from glagol.forge.nano import sizes
from glagol.forge.nano.speech import features
from glagol.forge.nano.speech.clips import SAMPLE_RATE, Pcm
from glagol.forge.nano.speech.voices import DEFAULT_VOICE, Manner, espeak
from glagol.forge.nano.text.cleaning import Sentence, held_out
from glagol.forge.nano.text.dictionary import WORD
from glagol.forge.nano.text.vocabulary import BLANK, VOCABULARY
from glagol.forge.nano.train import weights

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
GOLDEN = (
    "Екатерина не любит грибы, зато любит картошку.",
    "Нам принесли укроп, огурцы и тёплый пирог.",
    "К оплате девяносто две тысячи пятьсот сорок пять рублей.",
)
_PAUSE = int(0.45 * SAMPLE_RATE)
_MANNER = Manner(DEFAULT_VOICE, speed=150, pitch=50)


def configuration() -> dict[str, Any]:
    """Return ``config.json``: all that a runtime must know besides the weights."""
    encoder = asdict(sizes.SHIPPED)
    for name in ("feature_mean", "feature_std"):
        del encoder[name]
    return {
        "features": {
            "sample_rate": features.SAMPLE_RATE,
            "n_mels": features.MELS,
            "n_fft": features.FRAME,
            "win_length": features.FRAME,
            "hop_length": features.HOP,
            "center": False,
            "mel_scale": "htk",
            "mel_norm": None,
            "log_clamp": [features.FLOOR, features.CEILING],
            "window": "periodic hann",
        },
        "encoder": encoder
        | {
            "subsampling": "conv1d",
            "subsampling_factor": 4,
            "conv_norm_type": "layer_norm",
            "self_attention_model": "rotary",
        },
        "rnnt": asdict(sizes.RNNT),
        "vocabulary": list(VOCABULARY),
        "blank": BLANK,
    }


def golden_sentences() -> list[Sentence]:
    """Return the sentences of the golden clip.

    Raises ValueError when one of them could have been trained on.
    """
    found = []
    for spoken in GOLDEN:
        target = " ".join(WORD.findall(spoken.lower()))
        if not held_out(target):
            raise ValueError(f"not a held-out sentence: {spoken}")
        found.append(Sentence("golden", spoken, target))
    return found


def golden_clip(sentences: list[Sentence]) -> Pcm:
    """Speak the sentences in turn in the default voice: int16 [n] at 16 kHz."""
    parts: list[Pcm] = []
    for sentence in sentences:
        if parts:
            parts.append(np.zeros(_PAUSE, np.int16))
        parts.append(espeak(sentence.spoken, _MANNER))
    return np.concatenate(parts)


def write_flac(path: Path, samples: Pcm) -> None:
    """Write 16-bit mono samples [n] at 16 kHz without loss."""
    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


def write_golden(folder: Path) -> None:
    """Write ``clip.flac`` and ``transcript.txt``, the text that is spoken in it."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = golden_sentences()
    write_flac(folder / "clip.flac", golden_clip(sentences))
    text = " ".join(sentence.target for sentence in sentences)
    (folder / "transcript.txt").write_text(text + "\n", encoding="utf-8")


def release(checkpoint: Path, folder: Path, report: Callable[[str], None]) -> None:
    """Write everything but the card and the licence from a training checkpoint.

    Raises OSError when the checkpoint or espeak-ng is not there.
    """
    state = torch.load(checkpoint, weights_only=True)["model"]
    digest = weights.export(state, folder / WEIGHTS)
    text = json.dumps(configuration(), ensure_ascii=False, indent=1) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    write_golden(folder / "golden")
    size = (folder / WEIGHTS).stat().st_size
    report(f"{folder / WEIGHTS}: {size} bytes, sha256 {digest}")
