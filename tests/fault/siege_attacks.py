"""The attackers of the siege: `python siege_attacks.py PORT TARPIT CLIP ATTACK=KEY...`.

They run in a process of their own, so that the one that measures is not slowed by them, until their
standard input is closed. At the end they print what became of them as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

HOST = "127.0.0.1"
SILENT, BODIES, STREAMS, HOOKS, UPLOADS, READERS = 5000, 64, 100, 45, 1000, 300
AT_ONCE, AGAIN_S = 16, 5.0


@dataclass
class Attack:
    """What all attackers share.

    Attributes:
        port: Of the server.
        key: Of the attacker.
        tarpit: Port of a receiver that never answers.
        clip: A recording that the server transcribes.
        address: Of the attacker.
        counts: What happened, by name.
    """

    port: int
    key: str
    tarpit: int
    clip: bytes
    address: tuple[str, int]
    counts: Counter[str] = field(default_factory=Counter)

    async def opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from the attacker's address."""
        return await asyncio.open_connection(HOST, self.port, local_addr=self.address)

    def head(self, line: str, *headers: str) -> bytes:
        """The head of a request by the attacker."""
        lines = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}"]
        return "\r\n".join([*lines, *headers, "", ""]).encode()

    async def asked(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request on a connection of its own."""
        reader, writer = await self.opened()
        try:
            length = f"Content-Length: {len(body)}"
            writer.write(self.head(line, *headers, length, "Connection: close") + body)
            answer = await reader.read()
        finally:
            writer.close()
        return status_of(answer), answer.partition(b"\r\n\r\n")[2]


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 when there is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def code_of(answer: bytes) -> str:
    """The error code of an answer; its status when it has none."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"])
    return str(status_of(answer))


async def silent(attack: Attack) -> None:
    """5,000 connections that never send a byte; one that is closed is opened again a while later.

    They are plain sockets in a thread, which costs less than asyncio: it is the server that is to
    be kept busy.
    """
    over = threading.Event()

    def hold() -> None:
        poll, held, later = select.epoll(), {}, [0.0] * SILENT
        while not over.is_set():
            now = time.monotonic()
            while later and later[0] <= now:
                later.pop(0)
                wire = socket.socket()
                wire.setblocking(False)
                wire.bind(attack.address)
                wire.connect_ex((HOST, attack.port))
                held[wire.fileno()] = wire
                poll.register(wire, select.EPOLLRDHUP)
                attack.counts["silent, opened"] += 1
            for descriptor, _ in poll.poll(0.05):
                poll.unregister(descriptor)
                held.pop(descriptor).close()
                later.append(now + AGAIN_S)
                attack.counts["silent, closed"] += 1

    try:
        await asyncio.get_running_loop().run_in_executor(None, hold)
    finally:
        over.set()


async def bodies(attack: Attack) -> None:
    """64 bodies of one byte, and one more byte every 15 s."""

    async def one() -> None:
        while True:
            reader, writer = await attack.opened()
            writer.write(attack.head("PUT /v1/transcribe", "Content-Length: 9000000") + b"R")
            answer = asyncio.ensure_future(reader.read())
            while not (await asyncio.wait([answer], timeout=15.0))[0]:
                writer.write(b"F")
            with suppress(OSError):
                attack.counts[f"body: {code_of(answer.result())}"] += 1
            writer.close()
            await asyncio.sleep(1.0)

    await asyncio.gather(*(one() for _ in range(BODIES)))


async def streams(attack: Attack) -> None:
    """One HTTP/2 connection with 100 requests whose bodies never come."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(
            4, "big"
        ) + payload  # fmt: skip

    def literal(index: int, value: bytes) -> bytes:  # HPACK without indexing, RFC 7541, 6.2.2
        first = bytes([index]) if index < 15 else bytes([15, index - 15])
        return first + bytes([len(value)]) + value

    bearer = b"Bearer " + attack.key.encode()
    block = literal(2, b"PUT") + b"\x86" + literal(4, b"/v1/transcribe")
    block += literal(1, b"localhost") + literal(23, bearer)
    while True:
        reader, writer = await attack.opened()
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        for turn in range(STREAMS):
            writer.write(frame(1, 4, 2 * turn + 1, block))
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                attack.counts["stream: answered"] += head[3] == 1
        attack.counts["stream: connection closed"] += 1
        writer.close()
        await asyncio.sleep(1.0)


async def hooks(attack: Attack) -> None:
    """45 jobs whose receiver takes the connection and never answers."""
    address = quote(f"http://127.0.0.1:{attack.tarpit}/tar", safe="")
    for _ in range(HOOKS):
        line = f"PUT /v1/transcribe?async=true&webhook_url={address}"
        status, _body = await attack.asked(line, body=attack.clip)
        attack.counts[f"hook: {status}"] += 1


async def uploads(attack: Attack) -> None:
    """1,000 uploads of nothing, 16 at a time."""
    turns = iter(range(UPLOADS))

    async def some() -> None:
        for _ in turns:
            status, _body = await attack.asked(
                "POST /v1/uploads", "Tus-Resumable: 1.0.0", "Upload-Length: 0"
            )
            attack.counts[f"upload: {status}"] += 1

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def readers(attack: Attack) -> None:
    """300 readers of the events of one job, and 20 live streams, all at once."""
    _, body = await attack.asked("PUT /v1/transcribe?async=true", body=attack.clip)
    job = json.loads(body)["data"]["id"]
    socket = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    socket.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    async def one(line: str, name: str, *headers: str) -> None:
        reader, writer = await attack.opened()
        writer.write(attack.head(line, *headers))
        attack.counts[f"{name}: {status_of(await reader.read(1000))}"] += 1
        with suppress(OSError):
            await reader.read()
        writer.close()

    await asyncio.gather(
        *(one(f"GET /v1/jobs/{job}/events", "reader") for _ in range(READERS)),
        *(one("GET /v1/stream", "live", *socket) for _ in range(20)),
    )


ATTACKS = {each.__name__: each for each in (silent, bodies, streams, hooks, uploads, readers)}


async def run(port: int, tarpit: int, clip: bytes, keys: dict[str, str]) -> None:
    """Attack, each attacker with its key, until standard input is closed."""
    counts: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(
            ATTACKS[name](Attack(port, key, tarpit, clip, (f"127.0.0.{turn}", 0), counts))
        )
        for turn, (name, key) in enumerate(keys.items(), 10)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    failed = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for task in tasks:
        task.cancel()
    found = {**counts, "failed": [repr(each) for each in failed if each]}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    os.nice(10)  # a real attacker would not use this machine's processors
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    to, trap, recording, *wanted = sys.argv[1:]
    given = dict(each.split("=", 1) for each in wanted)
    asyncio.run(run(int(to), int(trap), Path(recording).read_bytes(), given))
