"""A Ray cluster of another program: `python head.py FOLDER CPUS [RELEASE]` in Ray's environment.

It prints `address HOST:PORT`, and ends with its stdin. Lines there are orders: `join` begins one
more node, `lose` kills every process of it; each is answered with its word. With RELEASE it says
that it is that release of Ray. Ray ends a node whose agent needs more than 15 s to start, so a busy
machine needs several tries.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

OBJECTS_BYTES = 80 << 20
TRIES = 4


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def begun(nodes: Any, cpus: int, **more: Any) -> Any:
    """A node of the cluster."""
    for left in reversed(range(TRIES)):
        try:
            return nodes.add_node(num_cpus=cpus, object_store_memory=OBJECTS_BYTES, **more)
        except Exception:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def main(folder: str, cpus: int, release: str = "") -> None:
    """Run the cluster until stdin ends."""
    os.environ["RAY_TMPDIR"] = folder  # where Ray notes the address for other programs
    Path(folder, "ray").mkdir()
    import ray.cluster_utils

    if release:
        ray.__version__ = release
    nodes = ray.cluster_utils.Cluster()
    begun(nodes, cpus, include_dashboard=False, temp_dir=folder)
    say(f"address {nodes.address}")
    more: list[Any] = []
    for line in sys.stdin:
        order = line.strip()
        if order == "join":
            more.append(begun(nodes, cpus))
        elif order == "lose":
            nodes.remove_node(more.pop(), allow_graceful=False)
        say(order)
    nodes.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
