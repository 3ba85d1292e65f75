"""Builds every variant of a manifest entry from its source files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from glagol.forge.architecture import Head, Precision
from glagol.forge.build import build
from glagol.forge.checkpoint import Tensors
from glagol.forge.torchfile import MAGIC, read_torch
from glagol.registry.entries import Ctc, Model, Rnnt
from glagol.registry.errors import IntegrityError

WEIGHTS = (".safetensors", ".bin", ".ckpt")
"""Endings of files with weights, the preferred first."""

Source = bytes | memoryview | Path
"""A source file: its bytes (an mmap too), or where they lie."""


def build_model(model: Model, files: Mapping[str, Source]) -> dict[str, dict[str, bytes]]:
    """Build the variants that the forge can make: CPU graphs in fp32 and int8.

    Args:
        model: the entry; its decoding says which head to build.
        files: source path to source file, as named in ``model.source``: the weights (ending in
            ``.safetensors``, else ``.bin`` or ``.ckpt``), one ``config.json``, at most one
            ``tokenizer.model``. Their digests are the caller's business.

    Returns:
        Variant id to artifact name to bytes. Variants of another precision are absent.

    Raises:
        IntegrityError: ``artifact_missing`` (no weights or no configuration among the files) or
            ``artifact_altered`` (the files do not fit together).
    """
    head: Head
    match model.decoding:
        case Ctc():
            head = "ctc"
        case Rnnt():
            head = "rnnt"
        case _:
            raise _misfit(model, "its entry names no head that can be built")
    weights = _one(model, files, *WEIGHTS)
    config = _one(model, files, "config.json")
    tokenizer = next(
        (_read(files[p]) for p in sorted(files) if p.endswith("tokenizer.model")), None
    )
    try:
        is_torch = bytes(weights[: len(MAGIC)]) == MAGIC
        tensors = read_torch(weights) if is_torch else Tensors(weights)
        settings = json.loads(bytes(config))
        return {
            variant.id: build(
                tensors,
                settings,
                cast("Precision", variant.precision),
                head,
                tokenizer=None if tokenizer is None else bytes(tokenizer),
            )
            for variant in model.variants
            if variant.provider == "cpu" and variant.precision in get_args(Precision)
        }
    except ValueError as error:  # CheckpointError and broken JSON
        raise _misfit(model, str(error)) from error


def _one(model: Model, files: Mapping[str, Source], *suffixes: str) -> bytes | memoryview:
    for suffix in suffixes:
        paths = sorted(path for path in files if path.endswith(suffix))
        if paths:
            return _read(files[paths[0]])
    raise IntegrityError(
        "artifact_missing",
        f"{model.id} has no {' or '.join(suffixes)} among its sources",
        "fetch the sources; see the model's card",
    )


def _read(source: Source) -> bytes | memoryview:
    return source.read_bytes() if isinstance(source, Path) else source


def _misfit(model: Model, what: str) -> IntegrityError:
    return IntegrityError(
        "artifact_altered",
        f"the sources of {model.id} do not fit together: {what}",
        "get them again from where they came",
    )
