"""Timing that survives a busy machine: rivals take turns in one process, ratios are the result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Times:
    """Seconds of every run: on the clock and of this process's processor time."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], object]) -> object:
        """Do the work once, remember what it took, return its result."""
        wall, processor = time.perf_counter(), time.process_time()
        result = work()
        self.processor.append(time.process_time() - processor)
        self.wall.append(time.perf_counter() - wall)
        return result


def take_turns(
    works: Mapping[str, Callable[[], object]], repeats: int, *, warm: bool = False
) -> dict[str, Times]:
    """Run the works one after the other, again and again.

    The first round is not counted, unless everything is `warm` already.
    """
    times = {name: Times() for name in works}
    for work in () if warm else works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            times[name].run(work)
    return times


def table(times: Mapping[str, Times], audio_s: float, base: str) -> dict[str, dict[str, float]]:
    """Times of each work, and how many times faster than `base` it is (best, median, processor).

    On a machine that does other things too, trust the ratios of best times.
    """
    own = times[base]
    rows = {}
    for name, each in times.items():
        rows[name] = {
            "wall_best_ms": round(1e3 * min(each.wall), 1),
            "wall_median_ms": round(1e3 * statistics.median(each.wall), 1),
            "processor_best_ms": round(1e3 * min(each.processor), 1),
            "rtfx_best": round(audio_s / min(each.wall), 1),
            "ratio_wall_best": round(min(own.wall) / min(each.wall), 2),
            "ratio_wall_median": round(
                statistics.median(own.wall) / statistics.median(each.wall), 2
            ),
            "ratio_processor_best": round(min(own.processor) / min(each.processor), 2),
        }
    return rows
