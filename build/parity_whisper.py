"""The work of build/parity-whisper: what openai-whisper computes, our fp32 graphs must compute.

The weights are read by the forge's reader and given to openai-whisper's own model, which refuses a
name or a shape that it does not know. For each recording ours chooses greedy tokens (raw argmax, no
rules) one by one; openai-whisper reads them at once, and its logits must be ours and choose the
same tokens. int8's distance is printed, not judged.

Recordings are WAV, mono, 16 bit, 8 or 16 kHz. 8 kHz is doubled by linear interpolation: both sides
read the same samples, so nothing better is needed.
"""

from __future__ import annotations

import argparse
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from glagol.forge.families.whisper.build import build
from glagol.forge.families.whisper.sizes import Precision
from glagol.forge.families.whisper.source import Opened, open_source
from glagol.registry.manifest.read import Model, parse
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from forge.running_whisper import State, encode, session  # noqa: E402

LOGITS_BOUND = 1e-4
TOKENS_MAX = 80


def main(arguments: list[str]) -> int:
    """Compare; 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="id in manifest.json whose sources are in the store")
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--store", type=Path, default=ROOT / "store")
    parser.add_argument("--language", default="en")
    options = parser.parse_args(arguments)
    manifest = parse((ROOT / "manifest.json").read_bytes())
    entry = next(model for model in manifest.models if model.id == options.model)
    opened = sources(entry, Store(options.store))
    heads = tuple((layer, head) for layer, head in (entry.decoding or {})["alignment_heads"])
    kinds: tuple[Precision, ...] = ("fp32", "int8")
    made = {kind: build(opened.weights, opened.sizes, opened.tokens, heads, kind) for kind in kinds}
    decoders: dict[str, Any] = {kind: session(files, "decoder") for kind, files in made.items()}
    torch.set_num_threads(1)
    theirs = reference(opened)
    prompt = prompt_of(opened, options.language)
    worst, equal = 0.0, 0
    for path in options.recordings:
        mel = whisper.log_mel_spectrogram(
            whisper.pad_or_trim(torch.from_numpy(samples(path))), opened.sizes.mels
        )
        end = opened.sizes.texts
        states = {name: State(decoders[name], encode(made[name], mel.numpy())) for name in made}
        tokens = chosen(states["fp32"], prompt, end)
        expected = logits_of(theirs, mel, tokens)
        distances = {}
        for precision, state in states.items():
            state.count = 0
            logits, _ = state.step([tokens])
            distances[precision] = float(np.abs(logits[0] - expected).max())
        follow = expected[len(prompt) - 1 :].argmax(-1).tolist()
        same = follow[:-1] == tokens[len(prompt) :] and (
            follow[-1] == end or len(tokens) == TOKENS_MAX
        )
        worst, equal = max(worst, distances["fp32"]), equal + same
        text = b"".join(opened.tokens[t] for t in tokens if t < opened.sizes.texts).decode()
        say(f"{path.name}: logits {distances}, tokens {'equal' if same else 'DIFFER'}: {text}")
    count = len(options.recordings)
    say(f"{options.model}: largest difference {worst:.1e}, tokens equal in {equal} of {count}")
    return int(worst > LOGITS_BOUND or equal < count)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def sources(entry: Model, store: Store) -> Opened:
    """The weights and the tokenizer of a model, from the store."""
    files = {
        file.path: store.path_of(file.sha256)
        for file in entry.source.files
        if file.sha256 is not None and store.has(file.sha256)
    }
    return open_source(files)


def reference(opened: Opened) -> Any:
    """openai-whisper's model with the weights."""
    sizes = opened.sizes
    model = Whisper(
        ModelDimensions(
            n_mels=sizes.mels,
            n_audio_ctx=sizes.frames,
            n_audio_state=sizes.width,
            n_audio_head=sizes.heads,
            n_audio_layer=sizes.encoder_layers,
            n_vocab=sizes.vocabulary,
            n_text_ctx=sizes.context,
            n_text_state=sizes.width,
            n_text_head=sizes.heads,
            n_text_layer=sizes.decoder_layers,
        )
    )
    tensors = {k: torch.from_numpy(v.astype(np.float32)) for k, v in opened.weights.items()}
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def prompt_of(opened: Opened, language: str) -> list[int]:
    """Start, language and task; in an English model the start alone."""
    multilingual = opened.sizes.vocabulary >= 51_865
    languages = opened.sizes.vocabulary - 51_765 - multilingual
    tokenizer = whisper.tokenizer.get_tokenizer(
        multilingual, num_languages=languages, language=language, task="transcribe"
    )
    return list(tokenizer.sot_sequence)


def samples(path: Path) -> np.ndarray:
    """A recording as float32 [n] at 16 kHz."""
    with wave.open(str(path)) as opened:
        rate = opened.getframerate()
        values = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / np.float32(32768)
    places = np.arange(len(values) * 16_000 // rate) * (rate / 16_000)
    return np.interp(places, np.arange(len(values)), values).astype(np.float32)


@torch.no_grad()
def logits_of(model: Any, mel: Any, tokens: list[int]) -> np.ndarray:
    """The logits [S, V] of openai-whisper at all tokens."""
    logits: np.ndarray = model.logits(torch.tensor([tokens]), model.encoder(mel[None]))[0].numpy()
    return logits


def chosen(state: State, prompt: list[int], end: int) -> list[int]:
    """Greedy tokens of our graphs, prompt included, token by token."""
    tokens = list(prompt)
    logits, _ = state.step([prompt], at=[len(prompt) - 1])
    while len(tokens) < TOKENS_MAX:
        token = int(logits[0, -1].argmax())
        if token == end:
            break
        tokens.append(token)
        logits, _ = state.step([[token]])
    return tokens


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
