"""The HTTP listener of llm-server: uvicorn's protocol class without uvicorn's server.

granian, which serves asr-server, writes in a thread of its own; waking that thread for each chunk
costs more than all other work (docs/adr/0016). uvicorn's server is not used either: it takes over
the signals and polls ten times a second.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from glagol.llm.proxy.connection import Bounds, Connection
from glagol.web.bind import CONNECTIONS_WAITING

if TYPE_CHECKING:
    import socket

    from glagol.web.request_log import Asgi

__all__ = ["Listener"]

_BOUNDS: Final = Bounds()
FAREWELL_S: Final = 2.0  # for an aborted request to close its files and connections


class Listener:
    """HTTP/1.1 on a socket.

    Args:
        app: The ASGI application.
        bound: Bound socket to listen on; closed at the end.
        bounds: Limits of a client.
    """

    def __init__(self, app: Asgi, bound: socket.socket, bounds: Bounds = _BOUNDS) -> None:
        self._config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,  # the peer's address decides what needs no key
            timeout_keep_alive=math.ceil(bounds.head_s),
        )
        self._socket = bound
        self._bounds = bounds
        self._state = ServerState()
        self._stopping = asyncio.Event()
        self._left = asyncio.Event()

    def stop(self) -> None:
        """Accept no more connections; `serve` returns when requests in flight have ended."""
        self._stopping.set()

    async def serve(self) -> None:
        """Serve until `stop`. Cancelling the task aborts requests in flight."""
        self._config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._connection, sock=self._socket, backlog=CONNECTIONS_WAITING
        )
        try:
            await self._stopping.wait()
            server.close()
            for connection in list(self._connections):
                connection.shutdown()
            while self._connections:
                self._left.clear()
                await self._left.wait()
        finally:
            server.close()
            for connection in self._connections:
                connection.transport.abort()
            if self._state.tasks:
                await asyncio.wait(self._state.tasks, timeout=FAREWELL_S)

    @property
    def _connections(self) -> set[Connection]:
        return cast("set[Connection]", self._state.connections)

    def _connection(self) -> Connection:
        return Connection(self._config, self._state, self._bounds, self._left.set)
