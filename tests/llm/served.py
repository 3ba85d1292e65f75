"""An application behind the server's own listener and a real socket, in a thread of the tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from glagol.llm.connection import Bounds
from glagol.llm.listening import Listener
from glagol.llm.summaries import Desk
from glagol.service.listening import bound
from llm.test_summaries import application


@dataclass
class Served:
    """Its port, and how it is ended."""

    port: int
    loop: asyncio.AbstractEventLoop
    listener: Listener
    task: asyncio.Task[None]
    thread: threading.Thread

    def stop(self) -> None:
        """Ask it to end; does not wait."""
        self.loop.call_soon_threadsafe(self.listener.stop)

    def cut(self) -> None:
        """Do not let it wait for anybody."""
        self.loop.call_soon_threadsafe(self.task.cancel)


@contextmanager
def listening(app: Any, bounds: Bounds | None = None) -> Iterator[Served]:
    """`app` on a free port; at the end what is under way is cut off."""
    made: list[Served] = []
    ready = threading.Event()

    async def serve() -> None:
        listener = Listener(app, address, bounds or Bounds())
        task = asyncio.create_task(listener.serve())
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        made.append(Served(address.getsockname()[1], loop, listener, task, thread))
        ready.set()
        await asyncio.wait([task])

    with bound("127.0.0.1", 0, "LLM_") as address:
        thread = threading.Thread(target=lambda: uvloop.run(serve()))
        thread.start()
        assert ready.wait(20)
        try:
            yield made[0]
        finally:
            if thread.is_alive():
                made[0].cut()
            thread.join(20)
            assert not thread.is_alive()


@contextmanager
def summarising(desk: Desk) -> Iterator[str]:
    """The address of `/v1/summarize` alone."""
    with listening(application(desk)) as served:
        yield f"http://127.0.0.1:{served.port}"
