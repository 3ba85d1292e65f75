"""What a caller chooses for the sessions of a model: device, threads, memory, kernels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a model runs and how much of the machine it may use.

    Attributes:
        device: "cpu" or "cuda"; there is no fallback from one to the other.
        threads: of the CPU, 0 for one per physical core; they do not change the results.
        memory_bytes: most that the model may take of a card's memory; 0 for no limit.
        kernels: whether our library computes what it can (`glagol.runtime.kernels.adapt`).
    """

    device: str = "cpu"
    threads: int = 0
    memory_bytes: int = 0
    kernels: bool = True
