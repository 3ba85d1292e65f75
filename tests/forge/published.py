"""Checkpoints in the two forms in which GigaAM-v3 is published, with weights from a seed.

``write`` streams a file of any size: the container is the standard library's, the description comes
from the few operations of ``Describe``; neither torch nor omegaconf is needed, and neither shares a
line with the reader. That real torch writes what the reader expects is shown by the fixture in
``published_real``.
"""

from __future__ import annotations

import copy
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from forge import seeded
from glagol.forge.families.gigaam.architecture import Architecture
from glagol.forge.families.gigaam.mel import mel_matrix
from glagol.forge.families.gigaam.rope import hann_window
from glagol.forge.families.gigaam.settings import FRONT_END, LETTERS
from glagol.forge.families.gigaam.weights import MEL, WINDOW

REBUILD = ("torch._utils", "_rebuild_tensor_v2")
KINDS = {"f2": "HalfStorage", "f4": "FloatStorage", "i8": "LongStorage"}


class Describe:
    """Pieces of a pickle, protocol 2, without memory: each method returns the code of a value."""

    NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"

    @staticmethod
    def text(value: str) -> bytes:
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw

    @staticmethod
    def integer(value: int) -> bytes:
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    @staticmethod
    def name(module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    @staticmethod
    def tuple_of(*items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    @staticmethod
    def list_of(*items: bytes) -> bytes:
        return b"](" + b"".join(items) + b"e"

    @classmethod
    def dict_of(cls, items: Mapping[str, bytes]) -> bytes:
        return b"}(" + b"".join(cls.text(k) + v for k, v in items.items()) + b"u"

    @classmethod
    def call(cls, function: tuple[str, str], *arguments: bytes) -> bytes:
        return cls.name(*function) + cls.tuple_of(*arguments) + b"R"

    @classmethod
    def record(cls, kind: tuple[str, str], state: Mapping[str, bytes]) -> bytes:
        return cls.name(*kind) + b")\x81" + cls.dict_of(state) + b"b"

    @classmethod
    def storage(cls, kind: str, key: str, count: int, module: str = "torch") -> bytes:
        return (
            cls.tuple_of(
                cls.text("storage"),
                cls.name(module, kind),
                cls.text(key),
                cls.text("cpu"),
                cls.integer(count),
            )
            + b"Q"
        )

    @classmethod
    def tensor(
        cls, storage: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
    ) -> bytes:
        return cls.call(
            REBUILD,
            storage,
            cls.integer(offset),
            cls.tuple_of(*map(cls.integer, shape)),
            cls.tuple_of(*map(cls.integer, strides)),
            cls.FALSE,
            cls.call(("collections", "OrderedDict")),
        )

    @classmethod
    def omega(cls, value: Any) -> bytes:
        """As omegaconf's containers and nodes."""
        metadata = cls.record(
            ("omegaconf.base", "ContainerMetadata"),
            {
                "ref_type": cls.name("typing", "Any"),
                "object_type": cls.name("__builtin__", "dict"),
                "resolver_cache": cls.call(
                    ("collections", "defaultdict"), cls.name("__builtin__", "dict")
                ),
            },
        )
        state = {"_metadata": metadata, "_parent": cls.NONE}
        if isinstance(value, Mapping):
            content = cls.dict_of({key: cls.omega(item) for key, item in value.items()})
            return cls.record(("omegaconf.dictconfig", "DictConfig"), state | {"_content": content})
        if isinstance(value, (list, tuple)):
            content = cls.list_of(*map(cls.omega, value))
            return cls.record(("omegaconf.listconfig", "ListConfig"), state | {"_content": content})
        simple: Any = {str: cls.text, int: cls.integer}.get(type(value))
        code = (
            b"G" + struct.pack(">d", value)
            if isinstance(value, float)
            else simple(value)
            if simple
            else {None: cls.NONE, True: cls.TRUE, False: cls.FALSE}[value]
        )
        return cls.record(("omegaconf.nodes", "AnyNode"), {"_parent": cls.NONE, "_val": code})

    @staticmethod
    def program(value: bytes) -> bytes:
        return b"\x80\x02" + value + b"."


@dataclass(frozen=True)
class Kind:
    """One of the four models: its head and classes; with pieces it has a tokenizer."""

    name: str
    head: str
    classes: int
    pieces: bool

    @property
    def id(self) -> str:
        """Its id in the manifest."""
        return "gigaam-" + self.name.replace("_", "-")


MODELS = (
    Kind("v3_ctc", "ctc", 34, False),
    Kind("v3_rnnt", "rnnt", 34, False),
    Kind("v3_e2e_ctc", "ctc", 257, True),
    Kind("v3_e2e_rnnt", "rnnt", 1025, True),
)


def small(kind: Kind) -> Architecture:
    """Published proportions at a size for tests: 2 layers of width 48."""
    joint = 24 if kind.head == "rnnt" else 0
    return seeded.architecture(head=kind.head, classes=kind.classes, joint=joint)


def full(kind: Kind) -> Architecture:
    """The published size: 16 layers of width 768."""
    joint = 320 if kind.head == "rnnt" else 0
    return seeded.architecture(
        width=768, layers=16, heads=16, hidden=3072,
        head=kind.head, classes=kind.classes, joint=joint,
    )  # fmt: skip


def settings(kind: Kind, sizes: Architecture) -> dict[str, Any]:
    """Upstream's ``cfg``."""
    decoding: dict[str, Any] = {"_target_": f"gigaam.decoding.{kind.head.upper()}GreedyDecoding"}
    decoding["vocabulary"] = None if kind.pieces else list(LETTERS)
    if kind.pieces:
        decoding["model_path"] = f"/root/.cache/gigaam/{kind.name}_tokenizer.model"
    return {
        "model_class": kind.head,
        "model_name": kind.name,
        "preprocessor": {"_target_": "gigaam.preprocess.FeatureExtractor", **FRONT_END},
        "encoder": {
            "_target_": "gigaam.encoder.ConformerEncoder",
            "feat_in": sizes.features,
            "n_layers": sizes.layers,
            "d_model": sizes.width,
            "subsampling": "conv1d",
            "subs_kernel_size": sizes.subsampling_kernel,
            "subsampling_factor": 4,
            "ff_expansion_factor": 4,
            "self_attention_model": "rotary",
            "pos_emb_max_len": sizes.max_frames,
            "n_heads": sizes.heads,
            "conv_kernel_size": sizes.kernel,
            "conv_norm_type": "layer_norm",
            "flash_attn": False,
        },
        "head": {"_target_": f"gigaam.decoder.{kind.head.upper()}Head"},
        "decoding": decoding,
    }


def shapes(sizes: Architecture, predictor: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, front end included; ``predictor`` is the width of the LSTM."""
    found = seeded.shapes(sizes) | {WINDOW: (320,), MEL: (161, 64)}
    if sizes.head == "rnnt":
        found["head.decoder.embed.weight"] = (sizes.classes, predictor)
        found["head.joint.pred.weight"] = (sizes.joint, predictor)
        for part in ("ih", "hh"):
            found[f"head.decoder.lstm.weight_{part}_l0"] = (4 * predictor, predictor)
            found[f"head.decoder.lstm.bias_{part}_l0"] = (4 * predictor,)
    return dict(sorted(found.items()))


def dtype_of(name: str) -> str:
    """The encoder is half precision, the rest single, as on Hugging Face."""
    return "<f2" if name.startswith("encoder.") else "<f4"


def tensors(wanted: Mapping[str, tuple[int, ...]], seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each tensor, one at a time; scaled as in ``seeded``."""
    source = np.random.RandomState(seed)
    for name, shape in wanted.items():
        if name in (WINDOW, MEL):
            fixed = hann_window(320) if name == WINDOW else mel_matrix(161, 64, 16_000)
            upper = fixed.view(np.uint32) & np.uint32(0xFFFF0000)
            yield name, upper.view(np.float32)  # the published buffers hold bfloat16 values
            continue
        values = np.asarray(2 * source.random_sample(shape) - 1)
        if len(shape) > 1:
            values *= math.sqrt(3 / math.prod(shape[1:]))
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values *= 0.1
        if name == "head.decoder.embed.weight":
            values[-1] = 0
        yield name, values.astype(dtype_of(name))


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous tensor, in elements."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def write(
    file: BinaryIO,
    wanted: Mapping[str, tuple[int, ...]],
    seed: int,
    *,
    cfg: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint: with ``cfg`` upstream's form, without it that of Hugging Face."""
    prefix = "" if cfg is not None else "model."
    state = {}
    for number, (name, shape) in enumerate(wanted.items()):
        kind = KINDS[dtype_of(name)[1:]]
        storage = Describe.storage(kind, str(number), math.prod(shape))
        state[prefix + name] = Describe.tensor(storage, shape, strides_of(shape))
    ordered = Describe.call(("collections", "OrderedDict")) + Describe.dict_of(state)[1:]
    if cfg is not None:
        ordered = Describe.dict_of({"cfg": Describe.omega(cfg), "state_dict": ordered})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", Describe.program(ordered))
        archive.writestr("model/byteorder", "little")
        for number, (_, values) in enumerate(tensors(wanted, seed)):
            with archive.open(f"model/data/{number}", "w") as member:
                member.write(np.ascontiguousarray(values).data.cast("B"))
        archive.writestr("model/version", "3\n")


def tokenizer(kind: Kind) -> bytes:
    """A SentencePiece model file with as many pieces as the model has classes without blank."""

    def field(number: int, value: bytes) -> bytes:
        size = len(value)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        return bytes([number << 3 | 2]) + length + value

    letters = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
    pairs = (f"▁{a}{b}" for a in letters for b in letters)
    texts = ["<unk>", "▁", *letters, *".,?!-", *pairs][: kind.classes - 1]
    message = b""
    for number, text in enumerate(texts):
        score = b"\x15" + struct.pack("<f", -float(number))
        message += field(1, field(1, text.encode()) + score + bytes([0x18, 1 if number else 2]))
    return message


def folder(
    place: Path, kind: Kind, sizes: Architecture, *, form: str, seed: int = 1, predictor: int = 12
) -> Path:
    """Fill ``place`` with the files of one model as published; return it.

    Args:
        place: the folder, made if needed.
        kind: which of the four models.
        sizes: ``small`` or ``full``.
        form: "hf" (pytorch_model.bin, config.json), "bare" (without config.json) or "ckpt".
        seed: of the weights.
        predictor: width of the RNN-T predictor; 320 in the published models.
    """
    place.mkdir(parents=True, exist_ok=True)
    cfg = settings(kind, sizes)
    name = f"{kind.name}.ckpt" if form == "ckpt" else "pytorch_model.bin"
    with (place / name).open("wb") as file:
        write(file, shapes(sizes, predictor), seed, cfg=cfg if form == "ckpt" else None)
    if form == "hf":
        nested = {"cfg": {"model": {"_target_": "GigaAMASR", "cfg": cfg}}}
        (place / "config.json").write_text(json.dumps(nested, ensure_ascii=False))
    if kind.pieces:
        served = f"{kind.name}_tokenizer.model" if form == "ckpt" else "tokenizer.model"
        (place / served).write_bytes(tokenizer(kind))
    return place


def unpinned(manifest: Mapping[str, Any], served: str) -> dict[str, Any]:
    """The repository's manifest with the four models and the VAD alone, for weights made here.

    Args:
        manifest: the parsed file; the pins of the four models' real files are dropped.
        served: address of the folder that stands for all of upstream's servers.
    """
    ids = {kind.id for kind in MODELS}
    models = [copy.deepcopy(m) for m in manifest["models"] if m["id"] in {*ids, "silero-vad"}]
    for file in (f for m in models if m["id"] in ids for f in m["source"]["files"]):
        for key in ("sha256", "md5", "size_bytes", "note"):
            file.pop(key, None)
        file["unpinned"] = "made here"
        tails = [url.partition("/resolve/")[2] or url.rpartition("/")[2] for url in file["urls"]]
        file["urls"] = [f"{served}/{tail}" for tail in tails]
    for model in (m for m in models if m["id"] in ids):
        model.pop("builder", None)
        model["unpinned"] = "made here"
        for variant in model["variants"]:
            variant["artifacts"] = []
    return {**manifest, "models": models, "defaults": {"asr": MODELS[0].id, "vad": "silero-vad"}}
