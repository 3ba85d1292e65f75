"""Read the sizes of a model from its configuration, and check them against its weights.

Two configurations are understood: the flat one of this repository (``encoder``, ``features``,
``vocabulary``) and the nested one of the published checkpoints (``cfg.model.cfg.encoder``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError

Head = Literal["ctc", "rnnt"]
Precision = Literal["fp32", "int8", "fp16"]

SUBSAMPLING = 4
"""Mel frames per encoder frame; fixed by the two strided convolutions."""

_EXPECTED = {
    "subsampling": "conv1d",
    "subsampling_factor": SUBSAMPLING,
    "self_attention_model": "rotary",
    "conv_norm_type": "layer_norm",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of an encoder and its head.

    Attributes:
        features: mel bands of the input.
        width: ``d_model``.
        layers: number of Conformer layers.
        heads: attention heads; ``width / heads`` is even.
        hidden: inner width of the feed-forward modules.
        kernel: taps of the depthwise convolution, odd.
        subsampling_kernel: taps of the two strided convolutions, odd.
        rope_base: base of the rotary frequencies.
        max_frames: rows of the rotary table, the longest input in encoder frames.
        head: which head the graph ends with.
        classes: output classes, the blank last.
        joint: width of the RNN-T joint, 0 for CTC.
    """

    features: int
    width: int
    layers: int
    heads: int
    hidden: int
    kernel: int
    subsampling_kernel: int
    rope_base: int
    max_frames: int
    head: Head
    classes: int
    joint: int

    def __post_init__(self) -> None:
        """Refuse sizes the family cannot have. Raises CheckpointError."""
        sizes = (self.features, self.width, self.layers, self.heads, self.hidden, self.max_frames)
        if min(sizes) < 1 or self.classes < 2 or self.rope_base < 2:
            raise CheckpointError(f"a size is not positive: {self}")
        if self.width % (2 * self.heads):
            raise CheckpointError(f"width {self.width} gives no {self.heads} heads of even size")
        if self.kernel % 2 == 0 or self.subsampling_kernel % 2 == 0:
            raise CheckpointError("convolution kernels must be odd")
        if self.subsampling_kernel < 3:
            raise CheckpointError("the subsampling kernel must have 3 taps or more")
        if (self.joint > 0) != (self.head == "rnnt"):
            raise CheckpointError(f"head {self.head} with a joint of {self.joint}")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def blank(self) -> int:
        """Class number of the blank, the last one."""
        return self.classes - 1


def encoder_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a configuration that describes the encoder.

    Raises:
        CheckpointError: neither of the two known layouts.
    """
    nested = config
    for key in ("cfg", "model", "cfg"):
        nested = nested.get(key, {}) if isinstance(nested, Mapping) else {}
    for candidate in (config.get("encoder"), nested.get("encoder")):
        if isinstance(candidate, Mapping):
            return candidate
    raise CheckpointError("the configuration has no encoder section")


def _count_layers(weights: Mapping[str, NDArray[np.generic]]) -> int:
    prefix = "encoder.layers."
    numbers = {int(key[len(prefix) :].split(".")[0]) for key in weights if key.startswith(prefix)}
    if numbers != set(range(len(numbers))):
        raise CheckpointError(f"layers in the checkpoint are not consecutive: {sorted(numbers)}")
    return len(numbers)


def infer(
    config: Mapping[str, Any], weights: Mapping[str, NDArray[np.generic]], head: Head
) -> Architecture:
    """Derive the architecture from shapes; take from ``config`` what shapes cannot tell.

    Args:
        config: a parsed configuration file.
        weights: tensors [...] under normalised names (see ``weights.normalise``).
        head: the head to build.

    Raises:
        CheckpointError: a tensor is missing, or configuration and weights disagree.
    """
    section = encoder_section(config)
    for key, value in _EXPECTED.items():
        if section.get(key, value) != value:
            raise CheckpointError(f"{key} = {section[key]!r} is not supported, only {value!r}")
    try:
        width, features, taps = weights["encoder.pre_encode.conv.0.weight"].shape
        hidden = weights["encoder.layers.0.feed_forward1.linear1.weight"].shape[0]
        kernel = weights["encoder.layers.0.conv.depthwise_conv.weight"].shape[2]
        if head == "ctc":
            classes, joint = weights["head.decoder_layers.0.weight"].shape[0], 0
        else:
            classes, joint = weights["head.joint.joint_net.1.weight"].shape[:2]
    except KeyError as error:
        raise CheckpointError(f"the checkpoint has no tensor {error.args[0]}") from error
    if "n_heads" not in section:
        raise CheckpointError("the configuration does not say n_heads, and no tensor can")
    max_frames = int(section.get("pos_emb_max_len", 5000))
    built = Architecture(
        features=features,
        width=width,
        layers=_count_layers(weights),
        heads=int(section["n_heads"]),
        hidden=hidden,
        kernel=kernel,
        subsampling_kernel=taps,
        # Upstream passes the table's length where the base belongs, and models are trained so.
        rope_base=int(section.get("rope_base", max_frames)),
        max_frames=max_frames,
        head=head,
        classes=classes,
        joint=joint,
    )
    _agree(built, section)
    return built


def _agree(built: Architecture, section: Mapping[str, Any]) -> None:
    derived = {
        "d_model": built.width,
        "n_layers": built.layers,
        "feat_in": built.features,
        "conv_kernel_size": built.kernel,
        "subs_kernel_size": built.subsampling_kernel,
    }
    for key, value in derived.items():
        if section.get(key, value) != value:
            raise CheckpointError(f"{key} = {section[key]} in the configuration, weights: {value}")
