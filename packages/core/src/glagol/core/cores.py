"""Count the processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

__all__ = ["usable"]

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable(quota: Path = QUOTA) -> int:
    """Number of cores in this process's affinity mask, capped by its control group's CPU quota.

    Args:
        quota: The control group's file `cpu.max`: allowed time and period in microseconds, such as
            "150000 100000", or "max" for no limit.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text().split()
        share = math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):  # no control group, or no limit
        return cores
    return max(1, min(cores, share))
