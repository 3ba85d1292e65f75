"""Two bounded channels between the event loop of a stream and its transcribing thread.

`Feed` carries bytes, `Outbox` messages. Back-pressure reaches the client's socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from typing import Final

__all__ = ["Feed", "Outbox"]

FEED_BYTES: Final = 1 << 20
"""Half a minute of raw 16 kHz samples."""

OUTBOX_MESSAGES: Final = 64


class Feed:
    """Bytes from the event loop to a thread.

    Args:
        loop: Where `put` is awaited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = asyncio.Event()
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._error: Exception | None = None
        self._digest = hashlib.sha256()

    @property
    def waiting(self) -> int:
        """Bytes that were not read yet."""
        return self._size

    @property
    def sha256(self) -> str:
        """Digest of what was read, lower-case hexadecimal."""
        return self._digest.hexdigest()

    async def put(self, data: bytes) -> None:
        """Add `data` as soon as there is room; an empty one changes nothing."""
        while self._size >= FEED_BYTES and self._error is None:
            self._room.clear()
            if self._size >= FEED_BYTES:
                await self._room.wait()
        with self._changed:
            if data and not self._over:
                self._parts.append(data)
                self._size += len(data)
                self._changed.notify()

    def finish(self) -> None:
        """Mark the end of the bytes."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Make `read` raise `error` from now on; only the first call counts."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify()
        self._wake()

    def read(self, size: int) -> bytes:
        """Wait for bytes and give at most `size`; none at the end. Called by the thread.

        Raises:
            Exception: The one that `fail` got.
        """
        with self._changed:
            while not (self._parts or self._over or self._error):
                self._changed.wait()
            if self._error is not None:
                raise self._error
            if not self._parts:
                return b""
            part = self._parts.popleft()
            part, rest = part[:size], part[size:]
            if rest:
                self._parts.appendleft(rest)
            self._size -= len(part)
        self._wake()
        self._digest.update(part)
        return part

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._room.set)
        except RuntimeError:  # the loop is closed: no `put` waits any more
            return


class Outbox:
    """Messages from a thread to the event loop, in order; a newer message replaces a partial.

    Args:
        loop: Where `take` is awaited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = asyncio.Event()
        self._room = threading.Condition()
        self._messages: deque[bytes] = deque()
        self._guess: bytes | None = None
        self._age = 0
        self._over = False

    @property
    def age(self) -> int:
        """Counter of messages other than partials; a partial belongs to one value of it."""
        return self._age

    def put(self, message: bytes) -> None:
        """Add `message` as soon as there is room; replaces a partial. Thread only."""
        with self._room:
            self._age += 1
            self._guess = None
            while len(self._messages) >= OUTBOX_MESSAGES and not self._over:
                self._room.wait()
            self._messages.append(message)
        self._wake()

    def put_guess(self, message: bytes, age: int) -> bool:
        """Show a partial if no other message came since `age` and none waits; any thread.

        Returns:
            Whether it will be shown, unless a newer message takes its place.
        """
        with self._room:
            if age != self._age or self._messages or self._over:
                return False
            self._guess = message
        self._wake()
        return True

    def close(self) -> None:
        """No more messages: `take` still returns those that were put; any thread."""
        with self._room:
            self._over = True
            self._room.notify_all()
        self._wake()

    async def take(self) -> bytes | None:
        """The next message; None after the last."""
        while True:
            with self._room:
                if self._messages:
                    self._room.notify_all()
                    return self._messages.popleft()
                if self._guess is not None:
                    guess, self._guess = self._guess, None
                    return guess
                if self._over:
                    return None
                self._changed.clear()
            await self._changed.wait()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop is closed: no `take` waits any more
            return
