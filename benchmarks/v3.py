"""One e2e RNN-T model of GigaAM-v3's size, for us and for those we are compared with.

Weights come from a seed; the head is set so that real speech gives about as many tokens as Russian
does (3.7 a second), since the price of RNN-T decoding depends on that. Everything lies in
BENCH_CACHE (default .work/bench), 3 GB, made once:

    home/                      manifest.json and store/, as `glagol` reads them: fp32 and int8
    onnx-asr/                  upstream's own ONNX export, named and split as onnx-asr 0.12 asks
    upstream_encoder.onnx      upstream's encoder as exported (needs GIGAAM_SRC, a checkout)

onnx-asr's int8 is what its published files are: `quantize_dynamic` with its defaults.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import recordings

from glagol.runtime.ort import onnxruntime as ort
from glagol.speech.types import Array

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "packages/forge/src")]

from forge import published, seeded  # noqa: E402
from glagol.forge.checkpoints.tokenizer import Vocabulary  # noqa: E402
from glagol.forge.checkpoints.tokenizer import sentencepiece as read_pieces  # noqa: E402
from glagol.forge.families.gigaam.build import build  # noqa: E402
from glagol.forge.families.gigaam.head import head_tensors  # noqa: E402
from glagol.forge.families.gigaam.mel import mel_matrix  # noqa: E402
from glagol.forge.families.gigaam.rope import hann_window  # noqa: E402
from glagol.forge.families.gigaam.weights import MEL, WINDOW  # noqa: E402
from glagol.registry.store import Store  # noqa: E402
from glagol.speech.engines.gigaam.features import FrontEnd  # noqa: E402
from glagol.speech.engines.gigaam.rnnt import Transducer  # noqa: E402

CACHE = Path(os.environ.get("BENCH_CACHE", ROOT / ".work/bench"))
HOME, RIVAL = CACHE / "home", CACHE / "onnx-asr"
UPSTREAM = CACHE / "upstream_encoder.onnx"
SILERO = ROOT / ".env/models/silero_vad/data"
ID = "gigaam-v3-e2e-rnnt"
VARIANTS = {"cpu-fp32": "fp32", "cpu-int8": "int8"}
CLASSES, WIDTH = 1025, 320
BLANK = CLASSES - 1
MAX_SYMBOLS = 10
TOKENS_PER_S = 3.7
SIZES = seeded.architecture(
    width=768, layers=16, heads=16, hidden=3072, head="rnnt", classes=CLASSES, joint=WIDTH
)
SEED = 1
GAIN = math.sqrt(1 / 3)
"""Brings the seeded matrices to torch's default spread: frames keep differing after 16 layers."""


def encoder_weights() -> dict[str, Array]:
    """Weights of the encoder under upstream's names."""
    made = seeded.weights(SIZES, SEED)
    scaled = {k: (v * np.float32(GAIN) if v.ndim > 1 else v) for k, v in made.items()}
    return {k: v for k, v in scaled.items() if k.startswith("encoder.")}


def front_weights() -> dict[str, Array]:
    """Window and mel matrix as v3 has them: rounded to bfloat16."""
    return {WINDOW: bfloat16(hann_window(320)), MEL: bfloat16(mel_matrix(161, 64, 16_000))}


def bfloat16(values: Array) -> Array:
    """Round to the nearest bfloat16, ties to even."""
    bits = values.view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return bits.astype(np.uint32).view(np.float32)


def export_upstream(checkout: Path) -> None:
    """Run upstream's exporter in this process; its file depends on what ran before in it."""
    from forge.golden import upstream

    modules = upstream.load(checkout)
    encoder = upstream.encoder(modules, SIZES, encoder_weights())
    with encoder.onnx_export_mode():
        modules["utils"].onnx_converter(
            UPSTREAM.stem, encoder, str(CACHE), dynamic_axes=encoder.dynamic_axes()
        )


def upstream_encoder() -> Path:
    """Upstream's encoder as ONNX, exported when it is not there yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not UPSTREAM.exists():
        checkout = os.environ.get("GIGAAM_SRC")
        if not checkout:
            sys.exit("set GIGAAM_SRC to a checkout of upstream (commit 8555893 or later)")
        subprocess.run([sys.executable, __file__, "export", checkout], check=True)
    return UPSTREAM


def quiet(threads: int) -> ort.SessionOptions:
    """Options of every rival's session: idle threads sleep, or they would burn the others' time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def encoded(samples: Array) -> Array:
    """Upstream's encoder output for a recording, float32 [T, 768]."""
    front = front_weights()
    features = FrontEnd(front[WINDOW], front[MEL])(samples)
    session = ort.InferenceSession(str(upstream_encoder()), quiet(2), ["CPUExecutionProvider"])
    turned = np.ascontiguousarray(features.T)[np.newaxis]
    encoded = session.run(None, {"audio_signal": turned, "length": np.array([len(features)])})[0]
    return np.ascontiguousarray(encoded[0].T)


def head_weights(samples: Array, encode: Callable[[Array], Array] = encoded) -> dict[str, Array]:
    """Weights of the head: centred on the encoded frames, the blank's bias by the token rate."""
    rng = np.random.default_rng(SEED)

    def normal(*shape: int, scale: float) -> Array:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    frames = encode(samples)
    projection = normal(WIDTH, SIZES.width, scale=1.0)
    sides = frames @ projection.T
    spread = np.float32(1 / sides.std(axis=0).mean())
    made = {
        "decoder.embed.weight": normal(CLASSES, WIDTH, scale=1.0),
        "decoder.lstm.weight_ih_l0": normal(4 * WIDTH, WIDTH, scale=0.05),
        "decoder.lstm.weight_hh_l0": normal(4 * WIDTH, WIDTH, scale=0.05),
        "decoder.lstm.bias_ih_l0": normal(4 * WIDTH, scale=0.1),
        "decoder.lstm.bias_hh_l0": np.zeros(4 * WIDTH, np.float32),
        "joint.pred.weight": normal(WIDTH, WIDTH, scale=0.2),
        "joint.pred.bias": normal(WIDTH, scale=0.1),
        "joint.enc.weight": projection * spread,
        "joint.enc.bias": -sides.mean(axis=0) * spread,
        "joint.joint_net.1.weight": normal(CLASSES, WIDTH, scale=0.05),
        "joint.joint_net.1.bias": normal(CLASSES, scale=0.1),
    }
    made["decoder.embed.weight"][BLANK] = 0
    weights = {f"head.{name}": value for name, value in made.items()}
    encoded = sides * spread + made["joint.enc.bias"]
    wanted = TOKENS_PER_S * len(samples) / 16_000
    low, high = 0.0, 30.0
    for _ in range(20):
        made["joint.joint_net.1.bias"][BLANK] = (low + high) / 2
        tokens = Transducer(head_tensors(SIZES, weights), BLANK, MAX_SYMBOLS).greedy(encoded)
        low, high = ((low + high) / 2, high) if len(tokens) > wanted else (low, (low + high) / 2)
    return weights


def weights() -> dict[str, Array]:
    """All weights, the head's from the cache after the first time."""
    path = CACHE / "head.npz"
    if not path.exists():
        np.savez(path, **head_weights(recordings.speech(20)))
    with np.load(path) as stored:
        head = {name: stored[name] for name in stored.files}
    return encoder_weights() | front_weights() | head


def pieces() -> bytes:
    """A SentencePiece model file with 1024 pieces."""
    kind = next(kind for kind in published.MODELS if kind.id == ID)
    return published.tokenizer(kind)


def sentencepiece() -> Vocabulary:
    """The same pieces as our artifacts have them."""
    return read_pieces(pieces())


def home() -> Path:
    """A home with the model in both variants and the VAD; made when it is not there yet.

    It is made again when the code that builds graphs writes other bytes.
    """
    store = Store(HOME / "store")
    manifest = json.loads((ROOT / "manifest.json").read_bytes())
    manifest = published.unpinned(manifest, "file:///nowhere")
    manifest["models"] = [m for m in manifest["models"] if m["id"] in {ID, "silero-vad"}]
    manifest["defaults"]["asr"] = ID
    model = next(m for m in manifest["models"] if m["id"] == ID)
    model["variants"] = [v for v in model["variants"] if v["id"] in VARIANTS]
    del model["unpinned"]
    source, config = weights(), {"encoder": {"d_model": SIZES.width, "n_heads": SIZES.heads}}
    for variant in model["variants"]:
        made = build(source, config, VARIANTS[variant["id"]], "rnnt", tokenizer=pieces())
        variant["artifacts"] = [
            {"path": path, "sha256": store.add_bytes(data), "size_bytes": len(data)}
            for path, data in sorted(made.items())
        ]
    (vad,) = (m for m in manifest["models"] if m["id"] == "silero-vad")
    for artifact in (a for v in vad["variants"] for a in v["artifacts"]):
        store.add_file(SILERO / artifact["path"], artifact["sha256"])
    (HOME / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False))
    (HOME / "stamp").write_text(stamp())
    return HOME


def stamp() -> str:
    """Digest of the code that builds graphs."""
    files = sorted((ROOT / "packages/forge/src/glagol/forge").glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def ours() -> Path:
    """The home, made again only when needed."""
    path = HOME / "stamp"
    return HOME if path.exists() and path.read_text() == stamp() else home()


if __name__ == "__main__" and sys.argv[1:2] == ["export"]:
    export_upstream(Path(sys.argv[2]))
