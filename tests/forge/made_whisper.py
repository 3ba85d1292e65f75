"""A small made-up Whisper in the forms in which real ones are published, with weights from a seed.

The writers share no line with the readers. The vocabulary has a real size, since ids follow from
it; everything else is small.
"""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from forge.published import Describe, strides_of
from glagol.forge.families.whisper.sizes import Sizes

SIZES = Sizes(
    mels=8,
    width=128,
    hidden=192,
    encoder_layers=2,
    decoder_layers=2,
    frames=24,
    context=12,
    vocabulary=51_865,
)
HEADS = ((0, 1), (1, 0), (1, 1))

Weights = dict[str, np.ndarray]


def weights() -> Weights:
    """Float16 tensors of SIZES under OpenAI's names; norms have columns of very different size."""
    return dict(_weights(SIZES))


@cache
def _weights(sizes: Sizes) -> Weights:
    source = np.random.RandomState(1)
    made: Weights = {}
    for name, shape in sizes.shapes():
        values = 2 * source.random_sample(shape) - 1
        if "ln" in name and name.endswith("weight"):
            values = np.exp2(2 * values)
        elif "embedding" in name:
            values *= 0.3
        elif len(shape) > 1:
            values *= math.sqrt(3 / math.prod(shape[1:]))
        else:
            values *= 0.2
        made[name] = values.astype(np.float16)
        made[name].flags.writeable = False
    return made


def dims(sizes: Sizes = SIZES) -> dict[str, int]:
    """OpenAI's `dims`."""
    return {
        "n_mels": sizes.mels,
        "n_audio_ctx": sizes.frames,
        "n_audio_state": sizes.width,
        "n_audio_head": sizes.heads,
        "n_audio_layer": sizes.encoder_layers,
        "n_vocab": sizes.vocabulary,
        "n_text_ctx": sizes.context,
        "n_text_state": sizes.width,
        "n_text_head": sizes.heads,
        "n_text_layer": sizes.decoder_layers,
    }


def torch_file(
    made: Mapping[str, np.ndarray], stated: Mapping[str, int] | bytes | None = None
) -> bytes:
    """As OpenAI's `.pt`: dims and tensors; `stated` may be the code of anything instead of dims."""
    state = {}
    for number, (name, value) in enumerate(made.items()):
        storage = Describe.storage("HalfStorage", str(number), value.size)
        state[name] = Describe.tensor(storage, value.shape, strides_of(value.shape))
    ordered = Describe.call(("collections", "OrderedDict")) + Describe.dict_of(state)[1:]
    stated = dims() if stated is None else stated
    if not isinstance(stated, bytes):
        stated = Describe.dict_of({key: Describe.integer(value) for key, value in stated.items()})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        program = Describe.dict_of({"dims": stated, "model_state_dict": ordered})
        archive.writestr("base/data.pkl", Describe.program(program))
        for number, value in enumerate(made.values()):
            archive.writestr(f"base/data/{number}", value.tobytes())
    return out.getvalue()


def conversion_names(made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under CTranslate2's names: stacked, with biases of zeros for keys."""
    named: dict[str, np.ndarray] = {
        "decoder/embeddings/weight": made["decoder.token_embedding.weight"]
    }
    for part in ("encoder", "decoder"):
        positions = made[f"{part}.positional_embedding"]
        named[f"{part}/position_encodings/encodings"] = positions
    for ours, theirs in (("conv1", "conv1"), ("conv2", "conv2")):
        for kind in ("weight", "bias"):
            named[f"encoder/{theirs}/{kind}"] = made[f"encoder.{ours}.{kind}"]
    for ours, theirs in (("encoder.ln_post", "encoder"), ("decoder.ln", "decoder")):
        named[f"{theirs}/layer_norm/gamma"] = made[f"{ours}.weight"]
        named[f"{theirs}/layer_norm/beta"] = made[f"{ours}.bias"]
    layers = sorted({".".join(name.split(".")[:3]) for name in made if ".blocks." in name})
    for ours in layers:
        part, _, number = ours.split(".")
        named |= dict(_layer(made, ours, f"{part}/layer_{number}"))
    return named


def _layer(
    made: Mapping[str, np.ndarray], ours: str, theirs: str
) -> Iterator[tuple[str, np.ndarray]]:
    linears: dict[str, Sequence[str]] = {
        "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
        "self_attention/linear_1": ("attn.out",),
        "ffn/linear_0": ("mlp.0",),
        "ffn/linear_1": ("mlp.2",),
    }
    norms = {"self_attention/layer_norm": "attn_ln", "ffn/layer_norm": "mlp_ln"}
    if theirs.startswith("decoder"):
        linears["attention/linear_0"] = ("cross_attn.query",)
        linears["attention/linear_1"] = ("cross_attn.key", "cross_attn.value")
        linears["attention/linear_2"] = ("cross_attn.out",)
        norms["attention/layer_norm"] = "cross_attn_ln"
    for place, names in linears.items():
        values = [made[f"{ours}.{name}.weight"] for name in names]
        biases = [
            made.get(f"{ours}.{name}.bias", np.zeros(len(value), np.float16))
            for name, value in zip(names, values, strict=True)
        ]
        yield f"{theirs}/{place}/weight", np.concatenate(values)
        yield f"{theirs}/{place}/bias", np.concatenate(biases)
    for place, name in norms.items():
        yield f"{theirs}/{place}/gamma", made[f"{ours}.{name}.weight"]
        yield f"{theirs}/{place}/beta", made[f"{ours}.{name}.bias"]


def settings(heads: int = 2) -> dict[str, np.ndarray]:
    """The settings that CTranslate2's converter writes beside the weights."""
    small = {"activation": 3, "alibi": 0, "pre_norm": 1, "scale_embeddings": 0}
    small["start_from_zero_embedding"] = 0
    found = {f"decoder/{name}": np.array(value, np.int8) for name, value in small.items()}
    for name, value in (("alignment_heads", 1), ("alignment_layer", -1), ("num_heads", heads)):
        found[f"decoder/{name}"] = np.array(value, np.int16)
    return found | {"encoder/num_heads": np.array(heads, np.int16)}


KINDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def conversion(
    variables: Mapping[str, np.ndarray],
    *,
    version: int = 6,
    specification: str = "WhisperSpec",
    revision: int = 3,
    aliases: Mapping[str, str] | None = None,
) -> bytes:
    """As CTranslate2's `model.bin`."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    if aliases is None:
        aliases = {"decoder/projection/weight": "decoder/embeddings/weight"}
    out = struct.pack("<I", version) + text(specification)
    out += struct.pack("<II", revision, len(variables))
    parts = [out]
    for name, value in sorted(variables.items()):
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        parts += [text(name), shape, struct.pack("<BI", KINDS[value.dtype.name], value.nbytes)]
        parts.append(value.tobytes())
    parts.append(struct.pack("<I", len(aliases)))
    parts += [text(name) + text(other) for name, other in aliases.items()]
    return b"".join(parts)


def model_bin(made: Mapping[str, np.ndarray], heads: int = 2) -> bytes:
    """The weights as a conversion."""
    return conversion(conversion_names(made) | settings(heads))


def tokens(count: int) -> list[bytes]:
    """Byte strings of text tokens: every byte, made-up words, and with 50,257 an empty last one."""
    words = [bytes([value]) for value in range(256)]
    words += [b" t%d" % number for number in range(256, count)]
    return [*words[:-1], b""] if count == 50_257 else words


def tiktoken(count: int) -> bytes:
    """As `*.tiktoken`; the empty string is written as upstream has it."""
    lines = [base64.b64encode(word) or b"=" for word in tokens(count)]
    return b"".join(b"%s %d\n" % (line, number) for number, line in enumerate(lines))


def tokenizer_json(sizes: Sizes = SIZES) -> bytes:
    """As `tokenizer.json`: bytes are characters, special tokens stand apart."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [value for value in range(256) if value not in shown]
    letters = {value: chr(value) for value in shown}
    letters |= {value: chr(256 + number) for number, value in enumerate(hidden)}
    words = tokens(sizes.texts)
    vocabulary = {"".join(letters[b] for b in word): number for number, word in enumerate(words)}
    special = {
        "<|endoftext|>": sizes.texts,
        "<|startoftranscript|>": sizes.texts + 1,
        "<|notimestamps|>": sizes.vocabulary - 1502,
    }
    added = [{"content": text, "id": number} for text, number in special.items()]
    return json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added}).encode()
