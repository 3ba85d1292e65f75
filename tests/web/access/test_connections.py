"""Connections without a use are closed by age, and by address when there are too many."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from glagol.web.access.connections import IDLE_S, SILENT_S, Connections
from glagol.web.bind import listener


class Peers:
    """A listening socket, its clients, and what a server would hold of them."""

    def __init__(self, most: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.now = 1000.0
        self.watch = Connections(self.port, most, clock=lambda: self.now)
        self.accepted: list[socket.socket] = []
        self.clients: list[socket.socket] = []

    def client(self, host: str = "127.0.0.1") -> socket.socket:
        """One more connection, seen by the watcher."""
        new = socket.create_connection(("127.0.0.1", self.port), source_address=(host, 0))
        self.clients.append(new)
        self.accepted.append(self.listening.accept()[0])
        return new

    def look(self, seconds: float = 0.0) -> None:
        """Let time pass, and look."""
        self.now += seconds
        self.watch.look()

    def open(self) -> list[bool]:
        """Of each client in turn, whether its connection is still there."""
        for each in self.clients:
            each.setblocking(False)
        return [self._open(each) for each in self.clients]

    @staticmethod
    def _open(client: socket.socket) -> bool:
        try:
            return client.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True

    async def serve(self, client: socket.socket, during: Any = lambda: None) -> None:
        """A request by `client`; `during` is called while it is served."""

        async def app(*_: Any) -> None:
            during()

        scope: Any = {"type": "http", "client": client.getsockname()}
        await self.watch.around(app)(scope, None, None)  # type: ignore[arg-type]


@pytest.fixture
def peers() -> Iterator[Peers]:
    """Room for 16 connections."""
    found = Peers(16)
    yield found
    for each in (found.listening, *found.accepted, *found.clients):
        each.close()


def test_silence_is_closed_and_use_is_not(peers: Peers) -> None:
    """Never a request: seconds. One under way: never. One that is over: later."""
    silent, half, used, busy = (peers.client() for _ in range(4))
    half.sendall(b"GET / HTTP/1.1\r\nX-A: ")

    def long_request() -> None:
        peers.look(2 * IDLE_S)
        assert peers.open() == [False, False, True, True]

    peers.look()
    asyncio.run(peers.serve(used))
    peers.look(0.9 * SILENT_S)
    assert peers.open() == [True] * 4
    peers.look(0.2 * SILENT_S)
    assert peers.open() == [False, False, True, False]
    del silent, busy


def test_a_request_keeps_its_connection(peers: Peers) -> None:
    """However long it takes; afterwards it may idle for a while."""
    busy = peers.client()
    peers.look()
    asyncio.run(peers.serve(busy, lambda: peers.look(5 * IDLE_S)))
    assert peers.open() == [True]
    peers.look(0.9 * IDLE_S)
    assert peers.open() == [True]
    peers.look(0.2 * IDLE_S)
    assert peers.open() == [False]


def test_a_slow_reader_of_an_answer_is_waited_for(peers: Peers) -> None:
    """While it takes bytes: what is on its way counts as use, what lies still does not."""
    reader = peers.client()
    server = peers.accepted[0]
    server.setblocking(False)
    peers.look()
    asyncio.run(peers.serve(reader))
    sent = 0
    try:
        while True:
            sent += server.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    for _ in range(3):
        peers.look(1.1 * IDLE_S)
        assert peers.open() == [True]
        reader.setblocking(True)
        taken = 0
        while taken < sent // 8:
            taken += len(reader.recv(1 << 16))
        assert taken
    peers.look(1.1 * IDLE_S)
    peers.look(1.1 * IDLE_S)
    with pytest.raises(OSError, match=r"."):
        server.send(b"x")


def test_one_address_leaves_room_for_others(peers: Peers) -> None:
    """The oldest that are idle go; another address's and those with a request stay."""
    other = peers.client("127.0.0.9")
    busy = peers.client()
    peers.look(0.1)

    def flooded() -> None:
        for _ in range(20):
            peers.client()
            peers.look(0.1)
        still = peers.open()
        assert still[:2] == [True, True]
        assert sum(still) == 10  # the other, and 9 of 16: the share beside another that has one
        assert all(still[-8:])  # the newest

    asyncio.run(peers.serve(busy, flooded))
    del other


def test_too_many_addresses_lose_their_oldest(peers: Peers) -> None:
    """No address has much, and yet there is always room for one more."""
    for turn in range(40):
        peers.client(f"127.0.1.{turn + 1}")
        peers.look(0.1)
    still = peers.open()
    assert still == [False] * 25 + [True] * 15


def _hosts() -> list[str]:
    """Loopback, and every address of both families where this machine has both."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ["127.0.0.1"]
    return ["127.0.0.1", "::"]


@pytest.mark.parametrize("host", _hosts())
def test_a_real_server_keeps_what_is_used(host: str) -> None:
    """A request that lasts longer than silence may is answered; silence ends, on HTTP/2 too."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    watch = Connections(port, 100, silent_s=0.3, idle_s=0.3)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.sleep(1.0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def talk(to: str, sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(to, port)
        writer.write(sent)
        try:
            async with asyncio.timeout(20):
                return await reader.read()  # until the server closes it
        finally:
            writer.close()

    async def run() -> list[bytes]:
        server = listener(watch.around(app), host, port, connections=100)
        serving = asyncio.create_task(server.serve())
        watch.start()
        while not _listens(port):
            await asyncio.sleep(0.01)
        to = ["127.0.0.1", "::1"] if host == "::" else [host]
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        try:
            return await asyncio.gather(
                *(talk(each, sent) for each in to for sent in (request, b"", preface))
            )
        finally:
            watch.stop()
            server.stop()  # type: ignore[no-untyped-call]
            await serving

    answers = asyncio.run(run())
    assert [answer.startswith(b"HTTP/1.1 204") for answer in answers[::3]] == [True] * (
        len(answers) // 3
    )
    assert not any(answers[1::3])  # silence is closed without a word
    assert not any(b"HTTP/1.1" in answer for answer in answers[2::3])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_other_files_are_not_touched(peers: Peers) -> None:
    """A connection of this process to another port, and one that it made itself."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        mine = socket.create_connection(elsewhere.getsockname())
        theirs, _ = elsewhere.accept()
        peers.client()
        peers.look()
        peers.look(2 * SILENT_S)
        assert peers.open() == [False]
        mine.sendall(b"x")
        assert theirs.recv(1) == b"x"
        for each in (mine, theirs):
            each.close()
