"""What Ray reads of the environment when it is imported, and what must be set before."""

from __future__ import annotations

import os
import secrets

__all__ = ["prepare"]


def prepare(address: str) -> None:
    """Switch off what Ray sends and prints, and lock a cluster of our own.

    Args:
        address: of a cluster, whose RAY_AUTH_MODE and token are the operator's; empty for one of
            our own: its ports are open to the network, so that its key is new for each run.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS"] = "0"
    if not address:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
