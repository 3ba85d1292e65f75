"""Whisper's formula in numpy, float64, written from whisper/model.py of openai-whisper 20250625.

Everything is computed at once and nothing is cached, so it shares no idea with the graphs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]
HEAD = 64

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Formula:
    """A model of float64 tensors under OpenAI's names."""

    def __init__(self, weights: Weights) -> None:
        self._weights = {name: value.astype(np.float64) for name, value in weights.items()}
        names = {name.rpartition(".blocks.")[0::2] for name in weights if ".blocks." in name}
        self._layers = {
            part: 1 + max(int(rest.split(".")[0]) for kind, rest in names if kind == part)
            for part in ("encoder", "decoder")
        }

    def encode(self, mel: np.ndarray) -> np.ndarray:
        """Return float64 [F / 2, D] for a log-mel [mels, F]."""
        x = mel.astype(np.float64)
        for name, stride in (("conv1", 1), ("conv2", 2)):
            x = _gelu(self._convolve(x, f"encoder.{name}", stride))
        x = x.T + self._weights["encoder.positional_embedding"][: x.shape[1]]
        for number in range(self._layers["encoder"]):
            x = self._block(x, f"encoder.blocks.{number}", None)
        return self._norm(x, "encoder.ln_post")

    def cross(self, encoded: np.ndarray, layer: int, part: str) -> np.ndarray:
        """Return the key or value [H, F / 2, 64] of a layer's cross-attention."""
        projected = self._linear(encoded, f"decoder.blocks.{layer}.cross_attn.{part}")
        return _heads(projected)

    def decode(self, tokens: list[int], encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits [S, V] and the cross-attention's queries [layers, S, H, 64]."""
        table = self._weights["decoder.token_embedding.weight"]
        x = table[tokens] + self._weights["decoder.positional_embedding"][: len(tokens)]
        queries: list[np.ndarray] = []
        for number in range(self._layers["decoder"]):
            x = self._block(x, f"decoder.blocks.{number}", encoded, queries)
        return self._norm(x, "decoder.ln") @ table.T, np.stack(queries)

    def _block(
        self,
        x: np.ndarray,
        key: str,
        encoded: np.ndarray | None,
        queries: list[np.ndarray] | None = None,
    ) -> np.ndarray:
        y = self._norm(x, f"{key}.attn_ln")
        query = self._linear(y, f"{key}.attn.query")
        mask = None
        if encoded is not None:
            mask = np.triu(np.full((len(x), len(x)), -np.inf), 1)
        x = x + self._attend(query, y, f"{key}.attn", mask)
        if encoded is not None and queries is not None:
            y = self._norm(x, f"{key}.cross_attn_ln")
            query = self._linear(y, f"{key}.cross_attn.query")
            queries.append(query.reshape(len(query), -1, HEAD))
            x = x + self._attend(query, encoded, f"{key}.cross_attn", None)
        y = _gelu(self._linear(self._norm(x, f"{key}.mlp_ln"), f"{key}.mlp.0"))
        added: np.ndarray = x + self._linear(y, f"{key}.mlp.2")
        return added

    def _attend(
        self, query: np.ndarray, source: np.ndarray, key: str, mask: np.ndarray | None
    ) -> np.ndarray:
        keys, values = (_heads(self._linear(source, f"{key}.{part}")) for part in ("key", "value"))
        scores = _heads(query) @ keys.transpose(0, 2, 1) / math.sqrt(HEAD)
        if mask is not None:
            scores = scores + mask
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ values).transpose(1, 0, 2).reshape(len(query), -1)
        return self._linear(mixed, f"{key}.out")

    def _linear(self, x: np.ndarray, key: str) -> np.ndarray:
        return x @ self._weights[f"{key}.weight"].T + self._weights.get(f"{key}.bias", 0)

    def _norm(self, x: np.ndarray, key: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled: np.ndarray = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self._weights[f"{key}.weight"] + self._weights[f"{key}.bias"]

    def _convolve(self, x: np.ndarray, key: str, stride: int) -> np.ndarray:
        weight = self._weights[f"{key}.weight"]
        padded = np.pad(x, ((0, 0), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, ::stride]
        found: np.ndarray = np.einsum("oik,itk->ot", weight, windows)
        return found + self._weights[f"{key}.bias"][:, None]


def _heads(x: np.ndarray) -> np.ndarray:
    """[T, D] to [H, T, 64]."""
    return x.reshape(len(x), -1, HEAD).transpose(1, 0, 2)


def _gelu(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = x * 0.5 * (1 + _erf(x / math.sqrt(2)))
    return found
