"""Thread pools of a server, one for each kind of blocking call.

A single pool would block on its slowest resource: a Redis that does not answer, or a slow disk,
would delay requests that need neither. So each resource has a pool of its own, and each call names
its pool; `tests/tidy_threads.py` forbids asyncio's. Recordings have threads of their own
(`glagol.speech.audio.jail`).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

__all__ = ["Executors", "call"]

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_THREADS: Final = 16
DISK_THREADS: Final = 8
UPLOAD_THREADS: Final = 4


def _threads(name: str, most: int) -> Callable[[], Executor]:
    """Make a pool; its threads start on first use."""
    return lambda: ThreadPoolExecutor(most, thread_name_prefix=name)


@dataclass(frozen=True, slots=True)
class Executors:
    """The pools of one server.

    Attributes:
        queue: The durable queue, which may be a Redis that does not answer.
        disk: Bodies of requests, and the audit log.
        uploads: Resumable uploads: each beginning waits for the disk twice, and a whole upload may
            have to be read for its digest.
    """

    queue: Executor = field(default_factory=_threads("queue", QUEUE_THREADS))
    disk: Executor = field(default_factory=_threads("disk", DISK_THREADS))
    uploads: Executor = field(default_factory=_threads("uploads", UPLOAD_THREADS))

    def close(self) -> None:
        """Start no more calls; do not wait for those in flight."""
        for each in (self.queue, self.disk, self.uploads):
            each.shutdown(wait=False, cancel_futures=True)


async def call(
    executor: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `function` in a thread of `executor`, with the context variables of the caller.

    Raises:
        Exception: What the function raises.
    """
    bound = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(executor, bound)
