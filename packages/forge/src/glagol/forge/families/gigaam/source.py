"""Opens the source files of a model: weights, settings, tokenizer.

Weights on disk are mapped, not read: a checkpoint of 449 MB costs address space, and its pages go
when the machine wants them back.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.pickles import refused
from glagol.forge.checkpoints.safetensors import CheckpointError, Tensors
from glagol.forge.checkpoints.torch import MAGIC, read_torch
from glagol.forge.families.base import Source
from glagol.forge.families.gigaam.settings import published

WEIGHTS: Final = (".safetensors", ".bin", ".ckpt")
"""Endings of files with weights, the preferred first."""

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.model"

SMALL_BYTES_MAX: Final = 16 << 20
"""Of a configuration or a tokenizer; the published ones have 2 kB and 255 kB."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a build reads.

    Attributes:
        tensors: by name, views of the file.
        config: settings as ``glagol.forge.families.gigaam.build.build`` takes them.
        tokenizer: the SentencePiece model file, if there is one.
    """

    tensors: Mapping[str, NDArray[np.generic]]
    config: Mapping[str, Any]
    tokenizer: bytes | None


def weights_of(files: Mapping[str, Source]) -> str | None:
    """Return the path of the weights among source paths, or None."""
    for suffix in WEIGHTS:
        for path in sorted(files):
            if path.endswith(suffix):
                return path
    return None


def open_source(files: Mapping[str, Source]) -> Opened:
    """Open the files of one model.

    Args:
        files: source path to file: weights (``weights_of``), ``config.json`` (needed beside
            safetensors; a torch checkpoint may do without), at most one ``tokenizer.model``.

    Raises:
        CheckpointError: the files are broken or do not fit together.
        FileNotFoundError: weights or configuration are not among the files.
        IntegrityError: ``checkpoint_refused``, a torch checkpoint that is more than data.
    """
    name = weights_of(files)
    if name is None:
        raise FileNotFoundError(" or ".join(WEIGHTS))
    settings = _json(_named(files, CONFIG))
    tokenizer = _named(files, TOKENIZER)
    data = _mapped(files[name])
    if bytes(data[: len(MAGIC)]) == MAGIC:
        checkpoint = read_torch(data)
        tensors: Mapping[str, NDArray[np.generic]] = checkpoint.tensors
        settings = published(settings, checkpoint.settings, tensors)
    elif name.endswith(WEIGHTS[0]):
        tensors = Tensors(data)
    else:
        raise refused(f"{name} is no zip file, as torch.save writes since 1.6")
    if settings is None:
        raise FileNotFoundError(CONFIG)
    return Opened(tensors, settings, tokenizer)


def parameters(path: Path) -> int:
    """Return how many numbers the tensors of a file of weights hold.

    Raises:
        CheckpointError: not a sound safetensors file.
        IntegrityError: ``checkpoint_refused``, not a sound torch checkpoint.
    """
    data = _mapped(path)
    if bytes(data[: len(MAGIC)]) == MAGIC:
        return read_torch(data).tensors.elements()
    return sum(math.prod(value.shape) for value in Tensors(data).values())


def _mapped(source: Source) -> bytes | memoryview:
    if not isinstance(source, Path):
        return source
    with source.open("rb") as file:
        if not source.stat().st_size:  # an empty file cannot be mapped
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _named(files: Mapping[str, Source], ending: str) -> bytes | None:
    found = [path for path in sorted(files) if path.endswith(ending)]
    if not found:
        return None
    data = _mapped(files[found[0]])
    if len(data) > SMALL_BYTES_MAX:
        raise CheckpointError(f"{found[0]} has {len(data)} bytes, the limit is {SMALL_BYTES_MAX}")
    return bytes(data)


def _json(data: bytes | None) -> Mapping[str, Any] | None:
    if data is None:
        return None
    try:
        settings = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{CONFIG} holds no object")
    return settings
