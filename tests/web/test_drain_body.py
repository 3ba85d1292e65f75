"""A refused client that is still sending receives the error; other clients do not wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from glagol.web import drain_body
from glagol.web.drain_body import BodyDrain


class Sender:
    """A client that sends `chunks`, then nothing more; the last one ends the body if `whole`."""

    def __init__(self, *chunks: bytes, whole: bool = True) -> None:
        self.left = list(chunks)
        self.whole = whole

    async def receive(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()
        body = self.left.pop(0)
        more = bool(self.left) or not self.whole
        return {"type": "http.request", "body": body, "more_body": more}


def left(sender: Sender, status: int = 401, reads: int = 0, **headers: str) -> int:
    """How many chunks stay unread when the application reads some and then answers `status`."""
    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    answered = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for _ in range(reads):
            await receive()
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def send(message: Any) -> None:
        answered.append(message["status"])

    async def run() -> None:
        scope = {"type": "http", "headers": given}
        await asyncio.wait_for(BodyDrain(app)(scope, sender.receive, send), 30)

    asyncio.run(run())
    assert answered == [status]
    return len(sender.left)


def test_a_short_body_is_read_to_its_end() -> None:
    """Whole or begun; but not when the answer is no refusal."""
    assert left(Sender(b"a", b"b", b"c"), content_length="3") == 0
    assert left(Sender(b"a", b"b", b"c"), reads=1, content_length="3") == 0
    assert left(Sender(b"a", b"b"), status=200, content_length="2") == 2


def test_a_long_one_is_not() -> None:
    """Nor one that waits to be asked for, nor one that may be endless."""
    assert left(Sender(b"a", b"b"), content_length=str(drain_body.BYTES_MAX + 1)) == 2
    assert left(Sender(b"a"), content_length="1", expect="100-continue") == 1
    assert left(Sender(b"a", whole=False), transfer_encoding="chunked") == 1


def test_a_slow_one_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer goes out though nothing comes."""
    monkeypatch.setattr(drain_body, "PATIENCE_S", 0.05)
    assert left(Sender(b"a", whole=False), content_length="9") == 0


def test_what_was_read_is_not_read_again() -> None:
    """After the last chunk `receive` would wait for the client to leave."""
    assert left(Sender(b"a", b"b"), reads=2, content_length="2") == 0
    assert left(Sender(b"a")) == 1, "no body was announced"
