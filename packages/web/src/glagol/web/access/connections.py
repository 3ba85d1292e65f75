"""Close idle and surplus connections of a server, fairly between addresses.

The HTTP library (granian) limits the number of connections and the time of a request head, but it
waits without limit for the first byte. So four times a second a thread lists the sockets that this
process has accepted, and an ASGI layer records which of them carry a request. A connection without
a request is shut down:

- after `SILENT_S`, if it never had one: silence, half a head, HTTP/2 without a stream;
- after `IDLE_S`, if it had one and its client takes no more bytes of the response;
- the oldest first, if an address has more than its share, or if there are more than allowed.

The thread finds the sockets in the list of open files and works on a duplicate of each descriptor,
so it cannot shut down another file if the library closes its own descriptor meanwhile. To the
library, the shutdown of a socket looks like a disconnect of the client.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import socket
import stat
import struct
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from glagol.core import journal
from glagol.core.shares import ALONE, allowed
from glagol.web.access.owner import network_of
from glagol.web.access.turns import Turns

if TYPE_CHECKING:
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["IDLE_S", "SILENT_S", "Connections"]

SILENT_S: Final = 10.0
IDLE_S: Final = 75.0
LOOK_S: Final = 0.25
LOG_S: Final = 10.0
_FILES: Final = "/dev/fd"  # of this process; Linux and the BSDs have it


class Peer(NamedTuple):
    """The client's end of a connection."""

    host: str
    port: int


@dataclass(slots=True, eq=False)
class _Connection:
    """State of one connection.

    Attributes:
        peer: Its client.
        address: As shares count it.
        since_s: When it was first seen, its last request ended, or its client last took bytes.
        requests: In flight.
        used: Whether it ever had a request.
        unsent: Bytes of answers that the client had not taken at the last look.
        descriptor: Of its socket, at the last look.
        inode: Of its socket; 0 before the first look.
        shut: Whether it was shut down here; its socket is then open until the library closes it.
    """

    peer: Peer
    address: str
    since_s: float
    requests: int = 0
    used: bool = False
    unsent: int = 0
    descriptor: int = -1
    inode: int = 0
    shut: bool = False


class Connections:
    """The connections of one server.

    Args:
        port: TCP port that the server listens on.
        most: How many connections are allowed.
        alone: The part of them that one address may have alone.
        silent_s: How long a connection may wait for its first request.
        idle_s: How long it may stay open after its last request.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        port: int,
        most: int,
        alone: float = ALONE,
        *,
        silent_s: float = SILENT_S,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._port = port
        self._alone = alone
        self._silent_s = silent_s
        self._idle_s = idle_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Peer, _Connection] = {}
        self._sockets: dict[int, tuple[int, Peer | None]] = {}  # by descriptor: inode, whose
        self._closed: Counter[str] = Counter()
        self._logged_s = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)

    def __len__(self) -> int:
        """Connections at the last look."""
        return len(self._known)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Returns immediately."""
        self._over.set()

    def around(self, app: Asgi) -> Asgi:
        """Wrap the application, to record which connection carries each request.

        Requests of different addresses begin in turns.
        """
        turns = Turns()

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            with self._request(scope.get("client")) as address:
                await turns.take(address)
                await app(scope, receive, send)

        return noted

    @contextmanager
    def _request(self, client: Any) -> Iterator[str]:
        if not client:
            yield ""
            return
        peer = _named(str(client[0]), int(client[1]))
        with self._lock:
            found = self._known.get(peer)
            if found is None:  # accepted after the last look
                found = self._known[peer] = _new(peer, self._clock())
            found.requests += 1
            found.used = True
        try:
            yield found.address
        finally:
            with self._lock:
                found.requests -= 1
                found.since_s = self._clock()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.look()
            except OSError as error:
                journal.write(
                    "connections are not watched", level=logging.WARNING, reason=str(error)
                )
                return

    def look(self) -> None:
        """Check every connection once, and shut down those that break the rules.

        Raises:
            OSError: This system has no list of open files.
        """
        now = self._clock()
        seen = dict(self._accepted())
        with self._lock:
            for peer, (descriptor, inode) in seen.items():
                found = self._known.setdefault(peer, _new(peer, now))
                if found.inode not in (0, inode):  # the same client's port, another connection
                    found = self._known[peer] = _new(peer, now)
                found.descriptor, found.inode = descriptor, inode
            gone = [p for p, c in self._known.items() if p not in seen and not c.requests]
            for peer in gone:
                if now - self._known[peer].since_s > LOOK_S:  # else it may be new
                    del self._known[peer]
            here = [each for peer in seen if not (each := self._known[peer]).shut]
        self._shut([each for each in here if self._is_old(each, now)], "silent")
        self._shut(self._too_many([each for each in here if not each.shut]), "crowded")
        self._log(now)

    def _is_old(self, each: _Connection, now: float) -> bool:
        limit_s = self._idle_s if each.used else self._silent_s
        if each.requests or now - each.since_s <= limit_s:
            return False
        unsent = _unsent(each.descriptor)
        if each.used and unsent != each.unsent:  # its client still takes what was answered
            each.unsent, each.since_s = unsent, now
            return False
        return True

    def _too_many(self, here: list[_Connection]) -> list[_Connection]:
        """Connections without a request that exceed the limit or a share, the oldest first."""
        held, used = Counter(each.address for each in here), len(here)
        idle = [each for each in here if not each.requests]
        found = []
        for each in sorted(idle, key=lambda each: (each.used, each.since_s)):
            mine = held[each.address]
            if used < self.most and allowed(self.most, used - 1, mine - 1, 1, self._alone):
                continue
            found.append(each)
            held[each.address] -= 1
            used -= 1
        return found

    def _accepted(self) -> Iterator[tuple[Peer, tuple[int, int]]]:
        """Clients of all open connections, with descriptor and inode of their sockets."""
        before, self._sockets = self._sockets, {}
        with os.scandir(_FILES) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            descriptor = int(name)
            try:
                about = os.fstat(descriptor)
            except OSError:  # closed meanwhile
                continue
            if not stat.S_ISSOCK(about.st_mode):
                continue
            inode, peer = before.get(descriptor, (-1, None))
            if inode != about.st_ino:
                peer = _peer(descriptor, self._port)
            self._sockets[descriptor] = (about.st_ino, peer)
            if peer is not None:
                yield peer, (descriptor, about.st_ino)

    def _shut(self, connections: Iterable[_Connection], reason: str) -> None:
        for each in connections:
            with self._lock:
                if each.requests:  # a request arrived meanwhile
                    continue
            with _duplicate(each.descriptor) as found:
                if found is not None and _of(found, self._port) == each.peer:
                    self._closed[reason] += 1
                    each.shut = True
                    found.shutdown(socket.SHUT_RDWR)

    def _log(self, now: float) -> None:
        if self._closed and now - self._logged_s >= LOG_S:
            crowded = self._closed["crowded"]
            journal.write(
                "connections closed",
                level=logging.WARNING if crowded else logging.DEBUG,
                silent=self._closed["silent"],
                crowded=crowded,
                left=len(self._known),
            )
            self._closed.clear()
            self._logged_s = now


def _new(peer: Peer, now: float) -> _Connection:
    return _Connection(peer, network_of(peer.host), now)


@contextmanager
def _duplicate(descriptor: int) -> Iterator[socket.socket | None]:
    """Duplicate a descriptor as a socket; None if it is closed or no socket."""
    found = None
    try:
        copy = os.dup(descriptor)
        try:
            found = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
    except OSError:
        pass
    try:
        yield found
    except OSError:  # the client disconnected meanwhile
        pass
    finally:
        if found is not None:
            found.close()


def _peer(descriptor: int, port: int) -> Peer | None:
    """The client of a descriptor's connection; None if `port` did not accept it."""
    peer = None
    with _duplicate(descriptor) as found:
        if found is not None:
            peer = _of(found, port)
    return peer


def _of(found: socket.socket, port: int) -> Peer | None:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.getsockname()[1] != port:
        return None
    try:
        name = found.getpeername()
    except OSError:  # it listens
        return None
    return _named(str(name[0]), int(name[1]))


def _named(host: str, port: int) -> Peer:
    """The client in one spelling, since the library and the system write addresses differently.

    An IPv6 socket reports an IPv4 client as `::ffff:192.0.2.1`, and a link-local one with a zone.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Peer(str(mapped or address), port)


def _unsent(descriptor: int) -> int:
    """Bytes that wait in the socket's send buffer for the client."""
    try:
        with_length = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", with_length)[0])
