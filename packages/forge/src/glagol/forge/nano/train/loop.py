"""The training loop of both phases: seeded, resumable, on a CPU or a CUDA device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glagol.forge.families.gigaam.reference import TwoHeadModel
from glagol.forge.nano.speech.clips import Clip
from glagol.forge.nano.train.batches import Batch, Loader, Position
from glagol.forge.nano.train.optim import Optimiser, Schedule

Objective = Callable[[TwoHeadModel, Batch], tuple[Tensor, Tensor]]
Report = Callable[[str], None]
Judge = Callable[[TwoHeadModel], str]


@dataclass(frozen=True)
class Settings:
    """How one phase runs; ``minutes`` of wall clock or ``steps``, whichever is given.

    ``until`` ends the phase at a share of its schedule, where the next one takes over at the
    learning rate reached.
    """

    checkpoint: Path
    minutes: float
    steps: int = 0
    batch_seconds: float = 110.0
    peak_rate: float = 2.5e-3
    seed: int = 0
    device: str = "cpu"
    compiled: bool = True
    judge_minutes: float = 5.0
    eager: tuple[str, ...] = ()
    until: float = 1.0


@dataclass
class Tally:
    """What has been done so far, over all resumed runs."""

    step: int = 0
    seconds: float = 0.0
    audio_seconds: float = 0.0
    epoch: int = 0
    index: int = 0

    def progress(self, settings: Settings) -> float:
        """Return the share of the budget that is spent."""
        if settings.steps:
            return self.step / settings.steps
        return self.seconds / (60.0 * settings.minutes)


class Trainer:
    """One phase: an objective over some of the model's parameters."""

    def __init__(
        self, model: TwoHeadModel, prefixes: tuple[str, ...], objective: Objective, rest: Settings
    ) -> None:
        """Train the parameters whose names start with one of the prefixes."""
        self.model = model.to(rest.device)
        self.objective = objective
        self.settings = rest
        chosen = [item for item in model.named_parameters() if item[0].startswith(prefixes)]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(prefixes))
        self.optimiser = Optimiser(chosen, rest.eager)
        self.tally = Tally()
        if rest.compiled:
            for layer in model.encoder.layers:
                layer.forward = torch.compile(layer.forward, dynamic=True)

    def save(self) -> None:
        """Write the checkpoint at once or not at all."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "tally": vars(self.tally),
        }
        partial = self.settings.checkpoint.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        partial.rename(self.settings.checkpoint)

    def resume(self) -> bool:
        """Resume from the checkpoint if there is one; returns whether there was."""
        if not self.settings.checkpoint.exists():
            return False
        state = torch.load(self.settings.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.tally = Tally(**state["tally"])
        return True

    def _step(self, batch: Batch, rate: float) -> tuple[float, bool]:
        device = self.settings.device
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            loss, shown = self.objective(self.model, batch.to(device))
        finite = self.optimiser.step(loss, rate)
        return float(shown), finite

    def run(self, read: Callable[[], list[Clip]], judge: Judge, report: Report) -> Tally:
        """Train until the budget is spent; save and judge every few minutes."""
        settings, tally = self.settings, self.tally
        schedule = Schedule(settings.peak_rate)
        start = Position(tally.epoch, tally.index)
        loader = Loader(read, settings.batch_seconds, settings.seed, start)
        judged = tally.seconds
        losses: list[float] = []
        try:
            while (progress := tally.progress(settings)) < settings.until:
                began = time.monotonic()
                batch, position = loader.take()
                loss, finite = self._step(batch, schedule.rate(progress))
                tally.step += 1
                tally.audio_seconds += batch.seconds
                tally.epoch, tally.index = position.epoch, position.index
                tally.seconds += time.monotonic() - began
                losses.append(loss)
                if not finite:
                    report(f"step {tally.step}: a gradient that is not finite was left out")
                if tally.step % 100 == 0 or tally.step in (1, 10):
                    report(_line(tally, losses, schedule.rate(progress), loader.waiting))
                    losses = []
                if tally.seconds - judged > 60 * settings.judge_minutes:
                    judged = tally.seconds
                    self.save()
                    report(f"step {tally.step}: {judge(self.model)}")
        finally:
            loader.close()
        self.save()
        report(f"done: {tally.step} steps, {tally.seconds / 60:.1f} min; {judge(self.model)}")
        return tally


def _line(tally: Tally, losses: list[float], rate: float, waiting: int) -> str:
    mean = sum(losses) / len(losses)
    return (
        f"step {tally.step} loss {mean:.4f} rate {rate:.2e} pass {tally.epoch}.{tally.index} "
        f"audio {tally.audio_seconds / 3600:.1f} h, {tally.audio_seconds / tally.seconds:.0f} x "
        f"real time, {waiting} batches ahead"
    )
