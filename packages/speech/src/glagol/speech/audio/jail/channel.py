"""Both ends of the socket between a child and its parent."""

from __future__ import annotations

import array
import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from glagol.speech.audio.jail.wire import HEADER, Kind, ViolationError, decoded, length_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.audio.jail.wire import Task

__all__ = ["ChildEnd", "ClosedError", "ParentEnd", "readable"]

SEND_BYTES = 256 << 10
"""The kernel's buffer: how far a child may run ahead of its reader, some four blocks."""

SEND_S = 5.0
"""A child that takes no bytes for so long is taken for dead."""


class ClosedError(Exception):
    """The other side has closed the socket, or is gone."""


class ParentEnd:
    """The parent's end: it never waits longer than asked.

    Args:
        sock: a stream socket; it is this object's.
        pid: the child, as the process that made it knows it.
    """

    def __init__(self, sock: socket.socket, pid: int) -> None:
        sock.setblocking(False)
        self.pid = pid
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._header = bytearray(HEADER.size)
        self._body: bytearray | None = None
        self._kind = Kind.END
        self._have = 0

    def send(self, kind: Kind, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a whole frame; descriptors go with its first byte.

        Raises:
            ClosedError: the child is gone, or takes nothing.
        """
        data = memoryview(HEADER.pack(kind, len(payload)) + payload)
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        until = time.monotonic() + SEND_S
        while data:
            try:
                sent = self._sock.sendmsg([data], extra if descriptors else [])
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ClosedError("the child takes nothing") from None
                select.select([], [self._sock], [], 0.1)
                continue
            except OSError as error:
                raise ClosedError(str(error)) from None
            data, descriptors = data[sent:], ()

    def take(self, wait_s: float) -> tuple[Kind, bytearray] | None:
        """The next frame, if it is whole within `wait_s`.

        Raises:
            ClosedError: the child is gone, or the socket is closed.
            ViolationError: it is no frame.
        """
        end = time.monotonic() + wait_s
        while not self._advance():
            left_s = end - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                return None
        body, self._body = self._body, None
        if body is None:
            raise AssertionError("a frame that is whole has a body")
        return self._kind, body

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._sock.fileno() < 0

    def close(self) -> None:
        """Let the child find its socket closed; further calls do nothing."""
        self._sock.close()

    def _advance(self) -> bool:
        """Read what is there; whether a frame is whole."""
        try:
            while self._body is None:
                self._have += self._read(memoryview(self._header)[self._have :])
                if self._have == len(self._header):
                    self._kind, length = length_of(self._header)
                    self._body, self._have = bytearray(length), 0
            while self._have < len(self._body):
                self._have += self._read(memoryview(self._body)[self._have :])
        except BlockingIOError:
            return False
        self._have = 0
        return True

    def _read(self, into: memoryview) -> int:
        try:
            count = self._sock.recv_into(into)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ClosedError(str(error)) from None
        if not count:
            raise ClosedError("the child has closed its socket")
        return count


class ChildEnd:
    """The child's end: it waits as long as it takes.

    Args:
        sock: a stream socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, kind: Kind, payload: bytes | memoryview) -> None:
        """Send a frame.

        Raises:
            ClosedError: the parent is gone.
        """
        try:
            self._sock.sendall(HEADER.pack(kind, len(payload)))
            self._sock.sendall(payload)
        except OSError as error:
            raise ClosedError(str(error)) from None

    def send_value(self, kind: Kind, value: msgspec.Struct | Sequence[object]) -> None:
        """Send a small value.

        Raises:
            ClosedError: the parent is gone.
        """
        self.send(kind, msgspec.msgpack.encode(value))

    def task(self, form: type[Task]) -> tuple[Task, int | None]:
        """Wait for the task; with the descriptor of the recording, if one came.

        Raises:
            ClosedError: the parent is gone.
            ViolationError: something else came.
        """
        header = bytearray()
        found: list[int] = []
        while len(header) < HEADER.size:
            data, extra, _, _ = self._sock.recvmsg(
                HEADER.size - len(header), socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
            )
            if not data:
                raise ClosedError("the parent has closed its socket")
            header += data
            for _, _, rights in extra:
                found += memoryview(rights).cast("i").tolist()
        kind, length = length_of(header)
        if kind is not Kind.TASK:
            raise ViolationError(f"{kind.name} in place of a task")
        return decoded(self._exactly(length), form), found[0] if found else None

    def need(self, size: int) -> bytes:
        """Ask for at most `size` bytes of the stream; none at its end.

        Raises:
            ClosedError: the parent is gone.
        """
        self.send(Kind.NEED, size.to_bytes(4, "little"))
        kind, length = length_of(self._exactly(HEADER.size))
        if kind is not Kind.DATA:
            raise ViolationError(f"{kind.name} in place of data")
        return bytes(self._exactly(length))

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._sock.recv_into(view)
            if not count:
                raise ClosedError("the parent has closed its socket")
            view = view[count:]
        return data


def pair() -> tuple[socket.socket, socket.socket]:
    """The parent's and the child's socket, not inherited, with a bounded buffer."""
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return parent, child


def devour(descriptor: int) -> None:
    """Take all bytes of a pipe that only wakes up."""
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def readable(file: BinaryIO) -> int:
    """A new descriptor of a file's bytes to send, for reading only where the system can."""
    try:
        number = file.fileno()
    except (OSError, AttributeError):
        return _in_memory(file)
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    return os.dup(number)


def _in_memory(file: BinaryIO) -> int:
    descriptor = os.memfd_create("recording", os.MFD_CLOEXEC)
    try:
        file.seek(0)
        while data := file.read(1 << 20):
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        file.seek(0)
    except BaseException:
        os.close(descriptor)
        raise
    with suppress(OSError):
        read_only = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        os.close(descriptor)
        return read_only
    return descriptor
