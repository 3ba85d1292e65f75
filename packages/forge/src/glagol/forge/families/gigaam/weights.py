"""One set of tensor names for every checkpoint of the family.

Published checkpoints say ``head.*`` (and ``model.head.*`` in their Hugging Face form); a
checkpoint with two heads over one encoder says ``ctc.*`` and ``rnnt.*``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.gigaam.architecture import Head

Array = NDArray[np.generic]

WINDOW = "preprocessor.featurizer.0.spectrogram.window"
MEL = "preprocessor.featurizer.0.mel_scale.fb"

_PROOFS = {"ctc": "decoder_layers.0.weight", "rnnt": "joint.enc.weight"}


def normalise(source: Mapping[str, Array], head: Head) -> dict[str, Array]:
    """Return the tensors of the encoder, the front end and one head under the published names.

    Args:
        source: tensors by name, possibly with the prefix ``model.``.
        head: which head to keep; it is then called ``head.*``.

    Raises:
        CheckpointError: the checkpoint has no such head.
    """
    plain = {name.removeprefix("model."): name for name in source}
    prefix = next((p for p in (head, "head") if f"{p}.{_PROOFS[head]}" in plain), None)
    if prefix is None:
        raise CheckpointError(f"the checkpoint has no {head} head")
    chosen: dict[str, Array] = {}
    for name, original in sorted(plain.items()):
        family, _, rest = name.partition(".")
        if family in ("encoder", "preprocessor"):
            chosen[name] = source[original]
        elif family == prefix:
            chosen[f"head.{rest}"] = source[original]
    return chosen
