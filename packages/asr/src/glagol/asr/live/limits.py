"""Limit of concurrent live streams, and their shutdown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from glagol.core.errors import HostError
from glagol.core.shares import ALONE, Shares

if TYPE_CHECKING:
    from glagol.asr.live.bridge import Feed

__all__ = ["IDLE_S", "STREAMS_MAX", "Streams"]

STREAMS_MAX: Final = 16
IDLE_S: Final = 30.0
"""Seconds; the stream of a client that sends or reads nothing for so long is ended."""


class Streams:
    """The streams of one server.

    Args:
        most: How many may be open at a time.
        idle_s: How long a client may send nothing.
        alone: The part of them that one owner may have.
    """

    def __init__(
        self, most: int = STREAMS_MAX, idle_s: float = IDLE_S, alone: float = ALONE
    ) -> None:
        self.idle_s = idle_s
        self._places = Shares(most, "live streams", alone)
        self.threads = ThreadPoolExecutor(most, thread_name_prefix="listening")
        self._feeds: dict[Feed, str] = {}
        self._closed = False

    def __len__(self) -> int:
        """Streams that are open now."""
        return len(self._feeds)

    def enter(self, feed: Feed, owner: str) -> None:
        """Register a stream, and take a place of its owner's share.

        Raises:
            LimitError: `share_used`, `busy`.
            HostError: `not_ready`.
        """
        if self._closed:
            raise stopping()
        self._places.take(owner)
        self._feeds[feed] = owner

    def leave(self, feed: Feed) -> None:
        """Unregister a stream and release its place; unknown streams are ignored."""
        owner = self._feeds.pop(feed, None)
        if owner is not None:
            self._places.leave(owner)

    def close(self) -> None:
        """Refuse new streams, and end the open ones with `not_ready`."""
        self._closed = True
        for feed in list(self._feeds):
            feed.fail(stopping())


def stopping() -> HostError:
    """The error that ends streams when the server stops."""
    return HostError("not_ready", "the server is stopping", "begin a new stream on another one")
