"""What Ray reads of the environment when it is imported, and what must be set before."""

from __future__ import annotations

import os
import secrets
from types import MappingProxyType
from typing import Final

__all__ = ["STARTING", "prepare"]

STARTING: Final = MappingProxyType(
    {
        "RAY_gcs_server_port_wait_time_s": "180",
        "RAY_agent_register_timeout_ms": "180000",
        "RAY_worker_register_timeout_seconds": "180",
    }
)
"""How long Ray waits for its own processes: its 30 to 60 s are too few on a busy machine.
Its 15 s for agents cannot be set: a cluster of our own is begun again instead."""


def prepare(address: str) -> None:
    """Switch off what Ray sends and prints, give it time to start, lock a cluster of our own.

    Args:
        address: of a cluster, whose RAY_AUTH_MODE and token are the operator's; empty for one of
            our own: its ports are open to the network, so that its key is new for each run.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS"] = "0"
    for name, value in STARTING.items():
        os.environ.setdefault(name, value)
    if not address:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
