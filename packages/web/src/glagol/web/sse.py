"""Write and read server-sent events (WHATWG HTML standard, section 9.2).

A line ends with LF, CR or CRLF, so none of them can be inside a field: data of several lines is
several `data` fields, and the reader gives its lines back with LF between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from litestar.response import Stream

__all__ = ["MEDIA_TYPE", "Event", "Reader", "comment", "event", "respond", "retry"]

MEDIA_TYPE: Final = "text/event-stream; charset=utf-8"
_UNBUFFERED: Final = {"x-accel-buffering": "no"}  # nginx would keep events until it has 4 KiB
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DIGITS_MAX: Final = 18  # of a signed 64-bit number


def event(data: bytes, *, name: str = "", event_id: str = "") -> bytes:
    """One event.

    Args:
        data: UTF-8; its line ends become LF at the reader.
        name: What the reader calls it; empty for "message".
        event_id: What the reader sends back as Last-Event-ID; empty to keep the one before.

    Raises:
        ValueError: the name or the id holds a line end, or the id a NUL.
    """
    if "\0" in event_id:
        raise ValueError(f"an event's id cannot hold a NUL: {event_id!r}")
    head = b""
    if event_id:
        head += b"id: %b\n" % _one_line(event_id)
    if name:
        head += b"event: %b\n" % _one_line(name)
    return head + b"".join(b"data: %b\n" % line for line in _LINE_END.split(data)) + b"\n"


def comment(text: str) -> bytes:
    """A comment, which readers skip; it keeps the connection alive.

    Raises:
        ValueError: the text holds a line end.
    """
    return b": %b\n\n" % _one_line(text)


def retry(pause_ms: int) -> bytes:
    """After how many milliseconds the reader connects again when the stream breaks off."""
    return b"retry: %d\n\n" % pause_ms


def respond(steps: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Stream:
    """The answer that sends `steps`, each as soon as it is there.

    Args:
        steps: What `event`, `comment` and `retry` gave.
        headers: More of them for the answer.
    """
    from litestar.response import Stream  # clients read events without the framework

    return Stream(steps, media_type=MEDIA_TYPE, headers={**(headers or {}), **_UNBUFFERED})


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was read.

    Attributes:
        data: UTF-8, lines joined by LF.
        name: "message" when the stream gives none.
        event_id: The last id that the stream gave; empty before the first.
    """

    data: bytes
    name: str = "message"
    event_id: str = ""


class Reader:
    """Reads a stream of events in pieces of any size.

    An event that the stream does not end with an empty line is never given. The reader keeps the
    unfinished event in memory, so the caller limits how much it feeds.

    Attributes:
        retry_ms: What the stream last asked for; None before.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._unfinished: list[bytes] = []  # pieces of the line that has not ended yet
        self._after_cr = False  # an LF that comes next belongs to that line end
        self._first = True
        self._name = self._id = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in this piece."""
        events: list[Event] = []
        if not piece:
            return events
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        *lines, rest = _LINE_END.split(piece)
        for line in lines:
            found = self._line(b"".join([*self._unfinished, line]))
            self._unfinished.clear()
            if found is not None:
                events.append(found)
        self._unfinished.append(rest)
        return events

    def _line(self, line: bytes) -> Event | None:
        if self._first:
            line, self._first = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line:
            return self._dispatched()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"data":
            self._data.append(value)
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) <= _DIGITS_MAX:
            self.retry_ms = int(value)
        return None  # a comment is a field without a name, and unknown fields mean nothing

    def _dispatched(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name = [], ""
        return Event(b"\n".join(data), name or "message", self._id) if data else None


def _one_line(text: str) -> bytes:
    line = text.encode()
    if _LINE_END.search(line):
        raise ValueError(f"it holds a line end: {text!r}")
    return line
