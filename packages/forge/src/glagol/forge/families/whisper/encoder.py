"""The encoder as a graph: log-mel in, keys and values of the decoder's cross-attention out.

Only the cross-attention reads the encoder's output, so its keys and values are computed here once,
not for every token.

Axes: B clips, F mel frames (even, at most twice the encoder's frames), L = F / 2, D width, H heads.
"""

from __future__ import annotations

from typing import Final

from glagol.forge.families.whisper.layers import Layers
from glagol.forge.families.whisper.sizes import HEAD_SIZE, TAPS
from glagol.forge.onnx.graph import kind_of
from glagol.forge.onnx.protobuf import DataType

STRIDES: Final = {"encoder.conv1": 1, "encoder.conv2": 2}


def author(layers: Layers) -> None:
    """Write the whole graph with its inputs and outputs.

    Input ``mel`` float32 [B, mels, F]. Outputs for each decoder layer i: ``cross_key_{i}`` and
    ``cross_value_{i}`` [B, H, L, 64] in the type of the values.
    """
    graph, sizes = layers.graph, layers.sizes
    kind = kind_of(layers.linear.real)
    x = graph.input("mel", DataType.FLOAT, ["B", sizes.mels, "F"])
    if kind != DataType.FLOAT:
        x = graph.op("Cast", [x], "mel.narrow", to=kind.value)
    for key, stride in STRIDES.items():
        inputs = [x, layers.tensor(f"{key}.weight"), layers.tensor(f"{key}.bias")]
        x = graph.op("Conv", inputs, key, kernel_shape=(TAPS,), strides=(stride,), pads=(1, 1))
        x = graph.contrib("Gelu", [x], f"{key}.gelu")
    x = graph.op("Transpose", [x], "frames", perm=(0, 2, 1))
    count = graph.op("Shape", [x], "frames.count", start=1, end=2)
    start = graph.integers(0)
    positions = layers.tensor("encoder.positional_embedding")
    positions = graph.op("Slice", [positions, start, count, start], "positions")
    x = graph.op("Add", [x, positions], "embedded")
    for number in range(sizes.encoder_layers):
        key = f"encoder.blocks.{number}"
        x = _attention(layers, x, f"{key}.attn")
        x = layers.feed_forward(x, key)
    x = layers.norm(x, "encoder.ln_post")
    fed = layers.linear.feed(x, "cross.in")
    for number in range(sizes.decoder_layers):
        for part in ("key", "value"):
            source = f"decoder.blocks.{number}.cross_attn.{part}"
            y = layers.linear.apply(fed, layers.matrix(source, source))
            y = graph.op(
                "Reshape", [y, graph.integers(0, 0, sizes.heads, HEAD_SIZE)], f"{source}.heads"
            )
            name = f"cross_{part}_{number}"
            graph.op("Transpose", [y], name, perm=(0, 2, 1, 3))
            graph.output(name, kind, ["B", sizes.heads, "L", HEAD_SIZE])


def _attention(layers: Layers, x: str, key: str) -> str:
    graph, linear = layers.graph, layers.linear
    fed = linear.feed(layers.norm(x, f"{key}_ln"), f"{key}.in")
    query, keys, value = (
        linear.apply(fed, layers.matrix(f"{key}.{part}", f"{key}.{part}"))
        for part in ("query", "key", "value")
    )
    mixed = graph.contrib(
        "MultiHeadAttention", [query, keys, value], f"{key}.mixed", num_heads=layers.sizes.heads
    )
    return graph.op("Add", [x, layers.project(mixed, f"{key}.out")], f"{key}.sum")
