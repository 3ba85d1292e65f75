"""Work for idle times, and the bounded bridges of a stream."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from asr.bench import Bench, Stub
from glagol.asr.inference.models import Opened, OpenModels
from glagol.asr.inference.scheduler import JobQueue
from glagol.asr.inference.tasks import Call
from glagol.asr.live.bridge import FEED_BYTES, OUTBOX_MESSAGES, Feed, Outbox
from glagol.core.errors import HostError
from glagol.speech.pipeline.recognizer import Recognizer


def job(work: Callable[[Any], Any], stop: Any = None, **options: Any) -> Call[Any]:
    """A call of `work` with the default model."""
    return Call(model="tiny", work=work, stop=stop or threading.Event(), **options)


def test_an_offer_is_taken_when_idle_and_gives_way_in_the_middle(
    make_bench: Callable[..., Bench],
) -> None:
    engine = make_bench().service.engine
    entered, stop = threading.Event(), threading.Event()

    def until_stopped(_: Any) -> list[str]:
        entered.set()
        assert stop.wait(60)
        raise HostError("cancelled", "given up", "none")

    first = job(lambda _: ["idle"])
    assert engine.offer(first)
    assert first.done.result(60) == ["idle"]
    second = job(until_stopped, stop)
    assert engine.offer(second)
    assert entered.wait(60)
    assert not engine.offer(job(lambda _: ["late"]))  # one at a time
    quick = job(lambda _: ["quick"], admitted=True)
    engine.put(quick)  # nothing else ends the second one
    assert quick.done.result(60) == ["quick"]
    assert second.done.exception(60)


def test_an_offer_is_refused_while_there_is_work(make_bench: Callable[..., Bench]) -> None:
    engine = make_bench().service.engine
    entered, gate = threading.Event(), threading.Event()

    def waits(_: Any) -> list[str]:
        entered.set()
        assert gate.wait(60)
        return ["done"]

    for lane in ("quick", "long"):
        entered.clear()
        gate.clear()
        busy = job(waits, lane=lane)
        engine.put(busy)
        assert entered.wait(60)
        assert not engine.offer(job(lambda _: ["idle"]))
        gate.set()
        assert busy.done.result(60) == ["done"]
    engine.queue.close()
    assert not engine.offer(job(lambda _: ["idle"]))


def test_parts_of_a_stream_need_no_place_in_the_queue(make_bench: Callable[..., Bench]) -> None:
    """The stream was admitted; its chunks are not refused half-way."""
    bench = make_bench(queue_size=1)
    engine, gate = bench.service.engine, threading.Event()
    entered = threading.Event()

    def held(_: object) -> list[str]:
        entered.set()
        gate.wait(60)
        return []

    first = job(held)
    engine.put(first)
    assert entered.wait(60)
    engine.put(job(lambda _: ["waits"]))
    parts = [job(lambda _: ["part"], admitted=True) for _ in range(5)]
    for part in parts:
        engine.put(part)
    gate.set()
    assert [part.done.result(60) for part in parts] == [["part"]] * 5


def test_a_feed_holds_no_more_than_it_may() -> None:
    async def run() -> None:
        feed = Feed(asyncio.get_running_loop())
        await feed.put(b"x" * FEED_BYTES)
        late = asyncio.create_task(feed.put(b"y" * 10))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not late.done()  # the socket is not read meanwhile
        assert await asyncio.to_thread(feed.read, 100) == b"x" * 100
        await asyncio.wait_for(late, 60)
        assert feed.waiting == FEED_BYTES - 90
        feed.finish()
        rest = b"".join(iter(lambda: feed.read(1 << 16), b""))
        assert rest == b"x" * (FEED_BYTES - 100) + b"y" * 10
        feed.fail(HostError("cancelled", "left", "none"))
        with pytest.raises(HostError):
            feed.read(1)
        await asyncio.wait_for(feed.put(b"z" * 2 * FEED_BYTES), 60)  # it does not wait for ever

    asyncio.run(run())


def test_an_outbox_makes_its_thread_wait_and_forgets_old_guesses() -> None:
    async def run() -> list[bytes | None]:
        box = Outbox(asyncio.get_running_loop())
        written = threading.Event()

        def write() -> None:
            for number in range(OUTBOX_MESSAGES + 1):
                box.put(b"%d" % number)
            written.set()

        thread = threading.Thread(target=write)
        thread.start()
        while len(box._messages) < OUTBOX_MESSAGES:
            await asyncio.sleep(0.001)
        assert not written.is_set()
        box.put_guess(b"guess while finals wait", box.age)
        taken = [await box.take() for _ in range(OUTBOX_MESSAGES + 1)]
        thread.join(60)
        assert taken == [b"%d" % number for number in range(OUTBOX_MESSAGES + 1)]
        age = box.age
        box.put_guess(b"first", age)
        box.put_guess(b"second", age)
        assert await box.take() == b"second"
        box.put_guess(b"old", age)
        box.put(b"final")
        box.put_guess(b"older", age)
        box.close()
        return [await box.take(), await box.take()]

    assert asyncio.run(run()) == [b"final", None]


@pytest.mark.parametrize("end", ["put", "close"])
def test_callbacks_run_without_the_lock(end: str) -> None:
    """What is called when an offer is given up may wait for a thread that uses the queue."""
    models = OpenModels("tiny", lambda _: Opened(cast("Recognizer", Stub()), {}))
    queue = JobQueue(9, models)
    models.start()
    while not models.is_ready("tiny"):
        time.sleep(0.001)
    free: list[bool] = []

    def called(_: object) -> None:
        other = threading.Thread(target=queue.__len__, daemon=True)
        other.start()
        other.join(2)
        free.append(not other.is_alive())

    offered, other = job(lambda _: "idle"), job(lambda _: "quick")
    assert queue.offer(offered)
    offered.done.add_done_callback(called)
    if end == "put":
        queue.put(other)
    else:
        queue.close()
    assert free == [True]
    models.stop()
