"""One address before several servers: each connection goes to the next server that takes it.

It passes bytes and knows no HTTP, as a Service of Kubernetes or a TCP proxy does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["Balancer"]

CHUNK_BYTES = 1 << 16


class Balancer(threading.Thread):
    """The address, served by a thread until the process ends.

    Args:
        ports: of the servers, on this machine.

    Attributes:
        port: of the address.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._ports = list(ports)
        self._ready = threading.Event()
        self.port = 0

    def run(self) -> None:
        """Serve."""
        asyncio.run(self._serve())

    def begin(self) -> None:
        """Start, and wait for the port."""
        self.start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self._ports)):
            self._ports.append(port := self._ports.pop(0))
            try:
                there, back = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await asyncio.gather(_copied(reader, back), _copied(there, writer))
            return
        writer.close()


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """All bytes of one direction; then that direction is over."""
    with suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
    with suppress(OSError):
        target.close()
