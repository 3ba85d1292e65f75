"""`/v1/summarize` alone behind a real socket, with the model of the tests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from granian.constants import Interfaces
from granian.server.embed import Server

from glagol.llm.summaries import Desk
from glagol.service import journal
from llm.test_summaries import application


@contextmanager
def listening(desk: Desk) -> Iterator[str]:
    """The address of a server in a thread; its log is silent, since the tests' is its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(application(desk), address="127.0.0.1", port=port, interface=Interfaces.ASGINL)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),))
    thread.start()
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            thread.join(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join()
        loop.close()
        journal.LOGGER.disabled = False
