"""Weights of any size from a seed, the same in the tests, the goldens and the benchmark.

The scheme: names in sorted order, one legacy ``RandomState`` (MT19937, frozen by numpy's policy),
each tensor ``2 u - 1`` for u from ``random_sample``, then scaled: matrices and convolutions by
``sqrt(3 / fan_in)``, norm gains to ``1 +- 0.2``, everything else by 0.1. The embedding of the
blank is zero, the window and the mel matrix are the library's own.
"""

from __future__ import annotations

import math

import numpy as np

from glagol.forge.families.gigaam.architecture import Architecture

PREDICTOR = 12
"""Width of the predictor in the goldens; the benchmark has no predictor."""


def architecture(**changes: object) -> Architecture:
    """Return a small RNN-T or CTC architecture, with the given changes."""
    values: dict[str, object] = {
        "features": 64,
        "width": 48,
        "layers": 2,
        "heads": 4,
        "hidden": 192,
        "kernel": 5,
        "subsampling_kernel": 5,
        "rope_base": 5000,
        "max_frames": 5000,
        "head": "ctc",
        "classes": 34,
        "joint": 0,
    }
    return Architecture(**(values | changes))  # type: ignore[arg-type]


def config(sizes: Architecture) -> dict[str, object]:
    """Return the flat configuration that describes ``sizes``."""
    letters = [chr(ord("а") + index) for index in range(sizes.classes - 1)]
    return {
        "encoder": {
            "d_model": sizes.width,
            "n_heads": sizes.heads,
            "rope_base": sizes.rope_base,
            "pos_emb_max_len": sizes.max_frames,
        },
        "vocabulary": letters,
    }


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _dense(name: str, outer: int, *inner: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outer, *inner), f"{name}.bias": (outer,)}


def _layer(prefix: str, sizes: Architecture) -> dict[str, tuple[int, ...]]:
    width = sizes.width
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("feed_forward1", "self_att", "conv", "feed_forward2", "out"):
        shapes |= _norm(f"{prefix}.norm_{norm}", width)
    shapes |= _norm(f"{prefix}.conv.batch_norm", width)
    for part in ("feed_forward1", "feed_forward2"):
        shapes |= _dense(f"{prefix}.{part}.linear1", sizes.hidden, width)
        shapes |= _dense(f"{prefix}.{part}.linear2", width, sizes.hidden)
    for part in "qkv":
        shapes |= _dense(f"{prefix}.self_attn.linear_{part}", width, width)
    shapes |= _dense(f"{prefix}.self_attn.linear_out", width, width)
    shapes |= _dense(f"{prefix}.conv.pointwise_conv1", 2 * width, width, 1)
    shapes |= _dense(f"{prefix}.conv.depthwise_conv", width, 1, sizes.kernel)
    return shapes | _dense(f"{prefix}.conv.pointwise_conv2", width, width, 1)


def shapes(sizes: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a checkpoint, under the published names."""
    found: dict[str, tuple[int, ...]] = {}
    for stage, inner in ((0, sizes.features), (2, sizes.width)):
        name = f"encoder.pre_encode.conv.{stage}"
        found |= _dense(name, sizes.width, inner, sizes.subsampling_kernel)
    for number in range(sizes.layers):
        found |= _layer(f"encoder.layers.{number}", sizes)
    if sizes.head == "ctc":
        return found | _dense("head.decoder_layers.0", sizes.classes, sizes.width, 1)
    found["head.decoder.embed.weight"] = (sizes.classes, PREDICTOR)
    for part in ("ih", "hh"):
        found[f"head.decoder.lstm.weight_{part}_l0"] = (4 * PREDICTOR, PREDICTOR)
        found[f"head.decoder.lstm.bias_{part}_l0"] = (4 * PREDICTOR,)
    found |= _dense("head.joint.enc", sizes.joint, sizes.width)
    found |= _dense("head.joint.pred", sizes.joint, PREDICTOR)
    return found | _dense("head.joint.joint_net.1", sizes.classes, sizes.joint)


def weights(sizes: Architecture, seed: int) -> dict[str, np.ndarray]:
    """Return float32 tensors for ``sizes``: the scheme of this module's docstring."""
    source = np.random.RandomState(seed)
    made: dict[str, np.ndarray] = {}
    for name, shape in sorted(shapes(sizes).items()):
        values = 2 * source.random_sample(shape) - 1
        if len(shape) > 1:
            values *= math.sqrt(3 / math.prod(shape[1:]))
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values *= 0.1
        made[name] = values.astype(np.float32)
    if "head.decoder.embed.weight" in made:
        made["head.decoder.embed.weight"][-1] = 0
    return made


def features(frames: int, clips: int, bands: int, seed: int) -> np.ndarray:
    """Return float32 [clips, frames, bands] in the range of log-mel energies."""
    source = np.random.RandomState(seed)
    return (source.random_sample((clips, frames, bands)) * 12 - 14).astype(np.float32)
