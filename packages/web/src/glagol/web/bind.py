"""Bind the address early, raise the connection limit, return memory after load peaks."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from glagol.core import journal
from glagol.core.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from granian.server.embed import Server

__all__ = ["CONNECTIONS_MAX", "CONNECTIONS_WAITING", "bound", "listener", "probe", "room"]

CONNECTIONS_MAX: Final = 4096
CONNECTIONS_WAITING: Final = 1024
FILES_KEPT: Final = 256  # descriptors that are not for connections
# granian's allocator (jemalloc) would otherwise keep the memory of a load peak
ALLOCATOR: Final = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0"


def bound(host: str, port: int, prefix: str) -> socket.socket:
    """A TCP socket that has the address and does not listen yet.

    Args:
        host: Address or name; of a name's addresses the first one, IPv4 before IPv6.
        port: TCP port.
        prefix: Of the server's settings, such as `ASR_`.

    Raises:
        HostError: `host_io`, the name has no address or the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        with ExitStack() as stack:
            taken = stack.enter_context(socket.socket(family, kind))
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(address)
            stack.pop_all()
            return taken
    except (OSError, UnicodeError) as error:  # the latter: no name of DNS
        raise HostError(
            "host_io",
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            f"set {prefix}HOST and {prefix}PORT to a free address or a name of this machine",
        ) from error


def probe(host: str, port: int, prefix: str) -> str:
    """Check early whether the address can be bound; see `bound`.

    Returns:
        The address as numbers, for `listener`.

    Raises:
        HostError: `host_io`, it cannot.
    """
    with bound(host, port, prefix) as taken:
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return socket.getnameinfo(taken.getsockname(), numeric)[0]


def room() -> int:
    """Connections that there is room for, once the limit of open files is as high as may be.

    The server accepts twice as many, until `glagol.web.access.connections` has closed the surplus:
    so the limit never keeps a health probe out.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    now, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(8, min(CONNECTIONS_MAX, (now - FILES_KEPT) // 2))


def listener(
    app: Any,
    host: str,
    port: int,
    *,
    websockets: bool = False,
    connections: int = CONNECTIONS_MAX,
    tls: tuple[Path, Path] | None = None,
) -> Server:
    """A server of this process around an ASGI application; `serve()` it.

    Args:
        app: The application.
        host: Address that `probe` gave: granian knows no names.
        port: TCP port.
        websockets: Whether it speaks them.
        connections: That there is room for, see `room`; granian's own limit would be 128.
        tls: Certificate chain and key in PEM; None for plain HTTP.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", ALLOCATOR)  # read when granian is loaded
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    return Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=websockets,
        ssl_cert=tls[0] if tls else None,
        ssl_key=tls[1] if tls else None,
        backlog=CONNECTIONS_WAITING,
        backpressure=2 * connections,
        log_level=LogLevels.error,
        log_dictconfig=journal.granian_config(),
    )
