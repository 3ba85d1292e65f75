"""Makes upstream_*.npz beside this file by running the published implementation.

Usage: python make_upstream_goldens.py CHECKOUT, with torch and numpy; see forge-goldens.md in docs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from forge import seeded  # noqa: E402
from forge.golden import cases, upstream  # noqa: E402


def encoder_golden(modules: dict[str, Any], case: cases.Case) -> dict[str, np.ndarray]:
    """Return what upstream's encoder and head give for a case's batch."""
    weights = seeded.weights(case.sizes, case.seed)
    encoder = upstream.encoder(modules, case.sizes, weights)
    lengths = torch.tensor(case.lengths)
    with torch.no_grad():
        encoded, ends = encoder(torch.from_numpy(case.features()).transpose(1, 2), lengths)
        if case.sizes.head == "ctc":
            head = modules["decoder"].CTCHead(case.sizes.width, case.sizes.classes)
            head.load_state_dict(upstream.state(weights, "head."), strict=True)
            output = head(encoded)
        else:
            joint = modules["decoder"].RNNTJoint(
                case.sizes.width, seeded.PREDICTOR, case.sizes.joint, case.sizes.classes
            )
            joint.load_state_dict(upstream.state(weights, "head.joint."), strict=True)
            output = joint.enc(encoded.transpose(1, 2))
    return {
        "encoder": encoded.transpose(1, 2).numpy().astype(np.float32),
        "output": output.numpy().astype(np.float32),
        "lengths": ends.numpy().astype(np.int64),
    }


def mel_golden(modules: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return upstream's log-mel [L, 64] of the seeded waveform and the buffers it used."""
    extractor = modules["preprocess"].FeatureExtractor(
        16000, 64, hop_length=160, win_length=320, n_fft=320, center=False
    )
    wave = torch.from_numpy(cases.waveform())[None]
    energies, ends = extractor(wave, torch.tensor([wave.shape[1]]))
    state = extractor.state_dict()
    return {
        "log_mel": energies[0].T.contiguous().numpy(),
        "frames": ends.numpy().astype(np.int64),
        "window": state["featurizer.0.spectrogram.window"].numpy(),
        "mel": state["featurizer.0.mel_scale.fb"].numpy(),
    }


def main() -> None:
    """Write every golden file."""
    torch.set_num_threads(1)
    modules = upstream.load(Path(sys.argv[1]))
    for case in cases.CASES:
        golden = encoder_golden(modules, case)
        np.savez_compressed(HERE / f"upstream_{case.name}.npz", allow_pickle=False, **golden)
    np.savez_compressed(HERE / "upstream_mel.npz", allow_pickle=False, **mel_golden(modules))


if __name__ == "__main__":
    main()
