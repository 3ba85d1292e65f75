"""A request to vLLM's socket and its answer, against servers that write whatever they like."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import HostError, InputError
from glagol.llm.proxy.exchange import Address, exchange

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
KEY, KIND = "secret", "application/json"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the servers listen, one after the other."""
    return str(tmp_path_factory.mktemp("x") / "s")


async def asked(
    socket: str, speak: Speak, ask: Callable[[], Awaitable[object]]
) -> tuple[object, BaseException | None]:
    """What `ask` gave while `speak` answered on `socket`, and what `speak` failed with."""
    failed: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = None
        try:
            await speak(reader, writer)
        except OSError as error:
            found = error
        writer.close()
        failed.set_result(found)

    Path(socket).unlink(missing_ok=True)
    async with await asyncio.start_unix_server(serve, socket):
        answer = await ask()
        return answer, await asyncio.wait_for(failed, 20)


def whole(socket: str, answer: list[bytes]) -> tuple[int, str, bytes]:
    """Status, content type and body of an answer that comes in these pieces."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        for piece in answer:
            writer.write(piece)
            await asyncio.sleep(0)

    async def ask() -> tuple[int, str, bytes]:
        async with exchange(Address(socket, KEY), "/v1/x", b"{}", KIND) as incoming:
            return incoming.status, incoming.kind, await incoming.whole()

    found, _ = uvloop.run(asked(socket, speak, ask))
    assert isinstance(found, tuple)
    return found


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_the_body_comes_as_it_was_sent(socket: str, chunks: list[bytes], cuts: list[int]) -> None:
    """Wherever reads happen to end, head and chunks are put together again to the byte."""
    written = EVENTS + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    ends = [0, *sorted(min(cut, len(written)) for cut in cuts), len(written)]
    pieces = [written[a:b] for a, b in itertools.pairwise(ends)]
    assert whole(socket, pieces) == (200, "text/event-stream", b"".join(chunks))


def test_a_body_with_a_length(socket: str) -> None:
    """The other way of HTTP/1.1, with an error's status."""
    answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\ncontent-type: a/b\r\n\r\nno"
    assert whole(socket, [answer]) == (404, "a/b", b"no")


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-le", EVENTS, EVENTS + b"5\r\nab", EVENTS + b"2\r\nab\r\n"],
)
def test_an_answer_that_ends_too_early(socket: str, answer: bytes) -> None:
    """Half an answer is never a whole one."""
    with pytest.raises(HostError, match="it left the connection") as caught:
        whole(socket, [answer])
    assert caught.value.code == "llm_unavailable"


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", EVENTS + b"zz\r\n"])
def test_what_is_not_http(socket: str, answer: bytes) -> None:
    """Bytes that llhttp refuses are an answer that never came."""
    with pytest.raises(HostError, match="does not speak HTTP") as caught:
        whole(socket, [answer])
    assert caught.value.code == "llm_unavailable"


def test_no_server_listens(tmp_path: Path) -> None:
    """No socket, no answer."""

    async def ask() -> None:
        async with exchange(Address(str(tmp_path / "none"), KEY), "/", b"", KIND):
            pytest.fail("a server answered")

    with pytest.raises(HostError, match="does not listen"):
        uvloop.run(ask())


def test_the_request_as_it_is_sent(socket: str) -> None:
    """Route, key, kind and body, and nothing of the client's own head."""
    seen = bytearray()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def ask() -> bytes:
        async with exchange(Address(socket, KEY), "/v1/x", b"b" * (1 << 20), "text/x") as incoming:
            return await incoming.whole()

    assert uvloop.run(asked(socket, speak, ask)) == (b"", None)
    head, _, body = bytes(seen).partition(b"\r\n\r\n")
    assert body == b"b" * (1 << 20)
    assert head.split(b"\r\n") == [
        b"POST /v1/x HTTP/1.1",
        b"Host: vllm",
        b"Authorization: Bearer secret",
        b"Content-Type: text/x",
        b"Content-Length: 1048576",
        b"Connection: close",
    ]


@pytest.mark.parametrize(("path", "kind"), [("/\r\nX: y", KIND), ("/", "a/b\nX: y")])
def test_no_header_comes_in_with_another(socket: str, path: str, kind: str) -> None:
    """A line break in what a client wrote makes no header of vLLM's request."""

    async def ask() -> None:
        async with exchange(Address(socket, KEY), path, b"", kind):
            pytest.fail("it was sent")

    with pytest.raises(InputError, match="line break"):
        uvloop.run(ask())


def test_a_reader_that_pauses_holds_vllm_back(socket: str) -> None:
    """While a client is slow vLLM waits: what is held has a bound; then everything arrives."""
    piece, count, written = b"x" * (1 << 16), 400, 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"{}")
        writer.write(EVENTS)
        for _ in range(count):
            writer.write(b"10000\r\n%b\r\n" % piece)
            await writer.drain()
            written += len(piece)
        writer.write(b"0\r\n\r\n")

    async def ask() -> int:
        async with exchange(Address(socket, KEY), "/v1/x", b"{}", KIND) as incoming:
            first = len(await incoming.read())
            await asyncio.sleep(0.3)
            assert written < count * len(piece) / 4
            return first + len(await incoming.whole())

    assert uvloop.run(asked(socket, speak, ask)) == (count * len(piece), None)


def test_leaving_the_block_closes_the_connection(socket: str) -> None:
    """vLLM sees the end of its connection as soon as the block is left, in a stream's middle."""
    seen = b"nothing"

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"{}")
        writer.write(EVENTS + b"2\r\nab\r\n")
        seen = await reader.read()

    async def ask() -> bytes:
        async with exchange(Address(socket, KEY), "/v1/x", b"{}", KIND) as incoming:
            return await incoming.read()

    assert uvloop.run(asked(socket, speak, ask)) == (b"ab", None)
    assert seen == b""
