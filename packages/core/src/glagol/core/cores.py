"""How much of the processor this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

__all__ = ["usable"]

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable(quota: Path = QUOTA) -> int:
    """Cores that this process may use: its affinity, less if a control group allows less time.

    Args:
        quota: `cpu.max` of the control group: microseconds and period, or "max".
    """
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text().split()
        share = math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):  # no control group, or no limit
        return cores
    return max(1, min(cores, share))
