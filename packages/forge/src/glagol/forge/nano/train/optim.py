"""Muon for the layers' matrices, AdamW for the rest, and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration, from Jordan's Muon (2024)."""
_ITERATIONS = 5
EAGER_PACE = 4.0


class StackedMuon:
    """Momentum orthogonalised by Newton-Schulz, matrices of equal shape stacked.

    One batched bf16 product per shape costs a quarter of a loop over matrices on a CPU.
    Convolutions of kernel one count as matrices.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        self.momentum = momentum
        self.decay = decay
        shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in parameters:
            shapes.setdefault((parameter.size(0), parameter.size(1)), []).append(parameter)
        self.groups = [(shape, shapes[shape]) for shape in sorted(shapes)]
        self.buffers = [
            torch.zeros(len(members), *shape, device=members[0].device)
            for shape, members in self.groups
        ]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for _, members in self.groups:
            for parameter in members:
                parameter.grad = None

    def step(self, rate: float) -> None:
        """Apply one update."""
        with torch.no_grad():
            for (shape, members), buffer in zip(self.groups, self.buffers, strict=True):
                gradients = torch.stack([member.grad.view(shape) for member in members])
                buffer.lerp_(gradients, 1 - self.momentum)
                update = _orthogonal(gradients.lerp_(buffer, self.momentum).bfloat16())
                torch._foreach_mul_(members, 1 - rate * self.decay)
                scale = -0.2 * max(shape) ** 0.5 * rate
                for member, change in zip(members, update.float().unbind(0), strict=True):
                    member.add_(change.reshape(member.shape), alpha=scale)

    def state_dict(self) -> dict[str, Any]:
        """Return the momentum buffers."""
        return {"buffers": self.buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the buffers of ``state_dict``."""
        for buffer, saved in zip(self.buffers, state["buffers"], strict=True):
            buffer.copy_(saved)


def _orthogonal(stacked: Tensor) -> Tensor:
    """Return matrices [K, R, C] with singular values near one."""
    tall = stacked.size(1) > stacked.size(2)
    x = stacked.transpose(1, 2) if tall else stacked
    norms = x.float().norm(dim=(1, 2), keepdim=True) + 1e-7
    x = x / norms.bfloat16()
    first, second, third = _QUINTIC
    for _ in range(_ITERATIONS):
        square = x @ x.transpose(1, 2)
        polynomial = torch.baddbmm(square, square, square, beta=second, alpha=third)
        x = torch.baddbmm(x, polynomial, x, beta=first)
    return x.transpose(1, 2) if tall else x


class Optimiser:
    """Both optimisers behind one step with clipped gradients."""

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        eager: tuple[str, ...] = (),
        limit: float = 1.0,
    ) -> None:
        """Sort parameters: matrices of encoder layers go to Muon, all others to AdamW.

        Names that start with one of ``eager`` learn four times as fast: a head that must catch
        up with an encoder near its end.
        """
        chosen = dict(named)
        matrices = {name for name, value in chosen.items() if _is_matrix(name, value)}
        rest = {name: value for name, value in chosen.items() if name not in matrices}
        paces = {
            1.0: [value for name, value in rest.items() if not name.startswith(eager)],
            EAGER_PACE: [value for name, value in rest.items() if name.startswith(eager)],
        }
        groups = [{"params": members} for members in paces.values() if members]
        self.paces = [pace for pace, members in paces.items() if members]
        self.parameters = list(chosen.values())
        self.limit = limit
        self.muon = StackedMuon(chosen[name] for name in sorted(matrices))
        self.adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def step(self, loss: Tensor, rate: float) -> bool:
        """Go one step down the scalar loss []; tell whether its gradient was finite."""
        self.muon.zero_grad()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.limit)
        if not bool(torch.isfinite(norm)):
            return False
        for group, pace in zip(self.adam.param_groups, self.paces, strict=True):
            group["lr"] = rate * pace
        self.adam.step()
        self.muon.step(rate)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of ``state_dict``."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    inner = parameter.ndim == 2 or (parameter.ndim == 3 and parameter.size(2) == 1)
    return "encoder.layers." in name and inner


@dataclass(frozen=True)
class Schedule:
    """Learning rate by progress 0..1: linear rise, then a cosine down to ``floor``."""

    peak: float
    warm_share: float = 0.05
    floor: float = 1e-5

    def rate(self, progress: float) -> float:
        """Return the rate at a progress; past the end it is the floor."""
        if progress < self.warm_share:
            return max(self.floor, self.peak * progress / self.warm_share)
        done = min(1.0, (progress - self.warm_share) / (1 - self.warm_share))
        return self.floor + self.peak * 0.5 * (1 + math.cos(math.pi * done))
