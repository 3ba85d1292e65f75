"""How ``torch_made.ckpt`` was made: the form of upstream's ``.ckpt``, by its own libraries.

Run once with torch 2.13.0 and omegaconf 2.3.0; neither is needed for the tests. It holds what a
writer of our own would not think of: memory and cycles in the description, every node with its
metadata, a parameter, a transposed view, two views of one storage, bfloat16, a scalar.
``test_torchfile`` states the values again.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from omegaconf import OmegaConf

CFG = {
    "model_class": "ctc",
    "model_name": "v3_ctc",
    "preprocessor": {"features": 64, "win_length": 320, "center": False, "mel_norm": None},
    "encoder": {"n_heads": 16, "rope": 0.5, "name": "${model_name}"},
    "decoding": {"vocabulary": [" ", "а", "б"]},
}


def main() -> None:
    """Write the file beside this one."""
    shared = torch.arange(12, dtype=torch.float32)
    state = OrderedDict(
        half=torch.arange(6).reshape(2, 3).half(),
        turned=torch.arange(6).reshape(2, 3).half().T,
        parameter=torch.nn.Parameter(torch.full((3,), 0.5)),
        brain=torch.tensor([1.5, -2.0]).bfloat16(),
        head=shared[:4],
        tail=shared[4:].reshape(2, 4),
        scalar=torch.tensor(3),
        empty=torch.zeros(0, 4),
    )
    state._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    target = Path(__file__).with_name("torch_made.ckpt")
    torch.save({"cfg": OmegaConf.create(CFG), "state_dict": state}, target)


if __name__ == "__main__":
    main()
