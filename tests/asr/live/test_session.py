"""The thread of a live stream: its waits end, its guesses are shown, its model is held."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, cast

import pytest

from asr.bench import Bench, jail
from asr.inference.house import OPEN_AT_A_TIME, Fake, House, job, made, until
from glagol.asr.inference.pool import InferencePool
from glagol.asr.inference.tasks import Call, Task, value_of
from glagol.asr.live import session
from glagol.asr.live.bridge import Feed, Outbox
from glagol.asr.live.messages import Start
from glagol.asr.live.session import LiveSession
from glagol.core.errors import HostError, LimitError
from glagol.speech.types import Notice, Options, Segment

PATIENCE_S = 30.0


class Loop:
    """Stands for an event loop: what it is asked to call is called at once."""

    def call_soon_threadsafe(self, call: Callable[[], Any]) -> None:
        """Call it."""
        call()


def stream(pool: InferencePool, model: str = "tiny") -> LiveSession:
    """A stream over `pool` whose client has sent nothing yet."""
    loop = cast("asyncio.AbstractEventLoop", Loop())
    left = threading.Event()
    return LiveSession(pool, Start(), Options(), model, Feed(loop), Outbox(loop), left, jail())


def in_time(work: Callable[[], Any]) -> Future[Any]:
    """Run `work` in a thread that may hang; its future is done in time."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def failing(error: Exception) -> Callable[[Any], None]:
    """A function of a recognizer that raises `error`."""

    def work(_: Any) -> None:
        raise error

    return work


def test_a_task_that_fails_with_a_timeout_is_not_waited_for(
    make_bench: Callable[..., Bench],
) -> None:
    """A disk's TimeoutError is the task's error, whether the client is there or has left."""
    listening = stream(make_bench().service.engine)
    for _ in range(2):
        call = listening._call(failing(TimeoutError("the disk")))
        answer = in_time(partial(listening._asked, call))
        with pytest.raises(TimeoutError, match="the disk"):
            answer.result(PATIENCE_S)
        assert call.done.done()
        listening.left.set()


class Late(Future[str]):
    """A future that gets its value just after a wait for it has timed out."""

    def result(self, timeout: float | None = None) -> str:
        """The value; the first wait that has a limit ends before it is there."""
        if timeout is not None and not self.done():
            self.set_result("there")
            raise TimeoutError
        return super().result(timeout)


def test_a_value_that_comes_as_the_wait_ends_is_no_timeout() -> None:
    """A wait that ended before the value came is not the task's own TimeoutError."""
    late: Call[str] = Call(model="m", work=lambda _: "", done=Late())

    def look() -> bool:
        if not late.done.done():
            late.done.set_result("there")
        return False

    assert in_time(lambda: value_of(late, 0.01, look)).result(PATIENCE_S) == "there"


def test_a_value_that_nothing_needs_is_cancelled() -> None:
    """A task that waits leaves the queue; one that runs sees its stop and ends by itself."""
    waits: Task[str] = Call(model="m", work=lambda _: "")
    with pytest.raises(CancelledError):
        in_time(lambda: value_of(waits, 0.01, lambda: True)).result(PATIENCE_S)
    runs: Task[str] = Call(model="m", work=lambda _: "")
    runs.done.set_running_or_notify_cancel()
    answer = in_time(lambda: value_of(runs, 0.01, lambda: True))
    until(runs.stop.is_set)
    assert not answer.done()
    runs.done.set_result("ended")
    assert answer.result(PATIENCE_S) == "ended"


def guess(listening: LiveSession, text: str, age: int) -> None:
    """A guess at `text`, begun when the outbox had `age`, has ended well."""
    done: Future[Segment | None] = Future()
    done.set_result(Segment(0.0, 1.0, text))
    listening._guessed(done, age)


def taken(listening: LiveSession) -> list[str]:
    """Kinds of the messages that wait for the client."""
    kinds = []

    async def take() -> None:
        while listening.outbox._messages or listening.outbox._guess:
            message = await listening.outbox.take()
            assert message is not None
            kinds.append(message.decode().split('"')[3])

    asyncio.run(take())
    return kinds


def test_a_guess_that_was_dropped_is_shown_later(make_bench: Callable[..., Bench]) -> None:
    """It came while a message waited; the same text is shown when there is room, and once."""
    listening = stream(make_bench().service.engine)
    outbox = listening.outbox
    outbox.put(b'{"type":"final"}')
    guess(listening, "да", outbox.age)
    assert taken(listening) == ["final"]
    guess(listening, "да", outbox.age)
    assert taken(listening) == ["partial"]
    guess(listening, "да", outbox.age)
    assert taken(listening) == []


def test_an_old_guess_does_not_hide_a_new_one(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guess of before a final that ends while the final is put must not count as shown."""
    listening = stream(make_bench().service.engine)
    old = listening.outbox.age
    put = listening.outbox.put

    def slow_put(message: bytes) -> None:
        guess(listening, "да", old)  # it ends in another thread just now
        put(message)

    monkeypatch.setattr(listening.outbox, "put", slow_put)
    listening._final(Segment(0.0, 1.0, "нет"))
    assert taken(listening) == ["final"]
    guess(listening, "да", listening.outbox.age)
    assert taken(listening) == ["partial"]


class Quiet:
    """Stands for a live transcription that holds its recognizer and says nothing."""

    def __init__(self, recognizer: Fake) -> None:
        self._recognizer = recognizer
        self.total = 0

    def push(self, samples: Any) -> Iterator[Segment]:
        """Take samples."""
        self.total += len(samples)
        return iter(())

    def open(self) -> None:
        """There is nothing to guess."""

    def finish(self) -> Iterator[Segment]:
        """No finals."""
        return iter(())

    def transcript(self, audio_sha256: str, warnings: Sequence[Notice]) -> str:
        """Its digest; zeros are silent."""
        assert [notice.code for notice in warnings] == ["silent"]
        return audio_sha256


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_holds_its_model_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Another model waits for room meanwhile, and is opened when the stream is over."""
    monkeypatch.setattr(Fake, "live", lambda self, **_: Quiet(self), raising=False)
    house = House()
    house.gate.set()
    pool = made(house)
    listening = stream(pool, "m1")
    answer = in_time(listening.run)
    until(lambda: listening._live is not None)
    part, other = job("m1"), job("m2")
    pool.put(other)
    pool.put(part)
    part.done.result(PATIENCE_S)
    time.sleep(0.05)
    assert not other.done.done()
    asyncio.run(listening.feed.put(b"\0" * 3200))
    if fails:
        listening.feed.fail(HostError("cancelled", "left", "none"))
        assert isinstance(answer.exception(PATIENCE_S), HostError)
    else:
        listening.feed.finish()
        assert answer.result(PATIENCE_S)
    other.done.result(PATIENCE_S)
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


def test_a_stream_that_finds_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long job keeps the second model: the stream ends with `busy` and the model stays usable."""
    monkeypatch.setattr(session, "ROOM_S", 0.1)
    house = House()
    pool = made(house)
    kept = job("m1", "long", 3)
    pool.put(kept)
    until(lambda: "m1" in house.opened and pool.queue.taken)
    done = in_time(stream(pool, "m2").run)
    assert isinstance(error := done.exception(PATIENCE_S), LimitError)
    assert error.code == "busy"
    house.gate.set()
    kept.done.result(PATIENCE_S)
    pool.close(PATIENCE_S)
