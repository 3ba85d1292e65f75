"""A request that is given up leaves nothing behind that reads its file."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest

import sounds
from asr.bench import Bench
from glagol.speech.audio.jail.pool import Jail

SOON_S = 5.0  # half a second is promised; the machine may be busy


@pytest.fixture
def jail() -> Iterator[Jail]:
    """One of its own, with one slot."""
    found = Jail(slots=1, tell=lambda _, /, **__: None)
    found.start()
    yield found
    found.close()


def until(what: Callable[[], object]) -> None:
    """Wait for `what` to be true."""
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_client_that_leaves_frees_its_slot(make_bench: Callable[..., Bench], jail: Jail) -> None:
    """Its decoder hangs; with the client the child goes, and the next recording has the slot."""
    bench = make_bench()
    bench.service.jail = jail
    spares = jail._spawner._spares
    until(lambda: len(spares) == 2)
    hung = [spare.pid for spare in spares]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)

    async def leave(client: httpx.AsyncClient) -> float:
        task = asyncio.create_task(client.put("/v1/transcribe", content=sounds.clip()))
        while not jail.children:
            await asyncio.sleep(0.01)
        task.cancel()
        began = time.monotonic()
        await asyncio.wait([task])
        while jail.children:
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    assert bench.run(leave) < SOON_S
    with suppress(ProcessLookupError):  # the request may have taken both
        os.kill(hung[1], signal.SIGCONT)
    assert bench.send("PUT", "/v1/transcribe", content=sounds.clip()).status_code == 200
