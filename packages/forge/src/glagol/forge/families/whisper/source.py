"""Opens the source files of a model: weights and tokenizer.

Weights on disk are mapped, not read: a checkpoint of 3 GB costs address space, and its pages go
when the machine wants them back.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.ctranslate2 import read_ctranslate2
from glagol.forge.checkpoints.torch import MAGIC, read_torch
from glagol.forge.families.base import Source
from glagol.forge.families.whisper.sizes import Sizes, infer
from glagol.forge.families.whisper.tokens import TIKTOKEN, read_tokens
from glagol.forge.families.whisper.weights import agree, from_ctranslate2

WEIGHTS: Final = (".bin", ".pt")
"""Endings of files with weights, the preferred first."""

TOKENIZERS: Final = ("tokenizer.json", TIKTOKEN)
"""Endings of files with a tokenizer, the preferred first."""

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a build reads.

    Attributes:
        weights: tensors under normalised names, views of the file.
        sizes: of the model.
        tokens: bytes of the text tokens, by id.
    """

    weights: Mapping[str, Array]
    sizes: Sizes
    tokens: tuple[bytes, ...]


def weights_of(paths: Iterable[str]) -> str | None:
    """Return the path of the weights among source paths, or None."""
    return _first(paths, WEIGHTS)


def open_source(files: Mapping[str, Source]) -> Opened:
    """Open the files of one model.

    Args:
        files: source path to file: CTranslate2's `model.bin` or OpenAI's `.pt`, and a
            `tokenizer.json` or a `.tiktoken`.

    Raises:
        CheckpointError: the files are broken or do not fit together.
        FileNotFoundError: weights or tokenizer are not among the files.
        IntegrityError: ``checkpoint_refused``, a torch checkpoint that is more than data.
    """
    weights, tokenizer = weights_of(files), _first(files, TOKENIZERS)
    if weights is None:
        raise FileNotFoundError(" or ".join(WEIGHTS))
    if tokenizer is None:
        raise FileNotFoundError(" or ".join(TOKENIZERS))
    tensors = read_weights(_mapped(files[weights]))
    sizes = infer(tensors)
    tokens = read_tokens(tokenizer, bytes(_mapped(files[tokenizer])), sizes)
    return Opened(tensors, sizes, tokens)


def read_weights(data: bytes | memoryview) -> dict[str, Array]:
    """Return the tensors of either form under normalised names.

    Raises:
        CheckpointError, IntegrityError: as ``open_source``.
    """
    if bytes(data[: len(MAGIC)]) != MAGIC:
        return from_ctranslate2(read_ctranslate2(data))
    checkpoint = read_torch(data)
    tensors = dict(checkpoint.tensors)
    agree(checkpoint.sizes, infer(tensors))
    return tensors


def parameters(path: Path) -> int:
    """Return how many numbers the tensors of a file of weights hold.

    Raises:
        CheckpointError, IntegrityError: as ``open_source``.
    """
    return sum(math.prod(value.shape) for value in read_weights(_mapped(path)).values())


def _first(paths: Iterable[str], endings: Iterable[str]) -> str | None:
    ordered = sorted(paths)
    found = (path for ending in endings for path in ordered if path.endswith(ending))
    return next(found, None)


def _mapped(source: Source) -> bytes | memoryview:
    if not isinstance(source, Path):
        return source
    with source.open("rb") as file:
        if not source.stat().st_size:  # an empty file cannot be mapped
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
