"""Options of a model's sessions: device, threads, memory, kernels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a model runs and how much of the machine it may use.

    Attributes:
        device: "cpu" or "cuda"; there is no fallback from one to the other.
        threads: CPU threads; 0 for one per physical core. Their number does not change results.
        memory_bytes: limit of the model's GPU memory, bytes; 0 for no limit.
        kernels: whether Glagol's native library is used (`glagol.runtime.kernels.adapt`).
    """

    device: str = "cpu"
    threads: int = 0
    memory_bytes: int = 0
    kernels: bool = True
