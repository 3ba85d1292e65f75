"""Supervise the vLLM process: verify, start, check, watch, restart, stop.

When the process ends or stops answering, it is restarted after a pause that doubles from one second
to a minute; after ten good minutes the pause starts at one second again. Altered files are not
retried: an operator replaces them and restarts the server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx

from glagol.core import journal
from glagol.core.errors import GlagolError, HostError
from glagol.llm.vllm.client import unavailable
from glagol.llm.vllm.logs import Lines

if TYPE_CHECKING:
    from glagol.llm.vllm.client import Upstream
    from glagol.llm.vllm.process import Child

__all__ = ["Supervisor", "Vllm"]

START_S: Final = 1800.0  # large weights from a slow disk
PAUSE_S, PAUSE_MAX_S = 1.0, 60.0
GOOD_S: Final = 600.0
LOOK_S, LOOK_TIMEOUT_S, LOOKS_MAX = 5.0, 10.0, 3
_POLL_S: Final = 0.2
_OK: Final = 200


class Vllm(Protocol):
    """Starts processes."""

    def prepare(self) -> None:
        """Verify the model and lay it out; slow, called in a thread.

        Raises:
            GlagolError: It cannot be.
        """

    def start(self, on_line: Callable[[str], None]) -> Child:
        """Start the process.

        Raises:
            HostError: It cannot be.
        """


class Supervisor:
    """Keeps one vLLM process alive.

    Args:
        vllm: Prepares and starts the process.
        upstream: Speaks to the process.
        prove: Asks the known prompt; what it returns goes into the report.
        clock: Monotonic seconds.

    Attributes:
        trouble: Why there is no model to ask; None while there is one.
        report: What `/ready` says.
        starts: How often the process was started.
        closed: Whether every further request is refused.
    """

    def __init__(
        self,
        vllm: Vllm,
        upstream: Upstream,
        prove: Callable[[Upstream], Awaitable[Mapping[str, str]]],
        clock: Callable[[], float],
    ) -> None:
        self._vllm = vllm
        self._upstream = upstream
        self._prove = prove
        self._clock = clock
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self.closed = False
        self._resume_s = 0.0
        self.trouble: GlagolError | None = HostError(
            "not_ready", "the model is being verified and loaded", "wait; GET /ready again"
        )
        self.report: dict[str, Any] = {}
        self.starts = 0

    def upstream(self) -> Upstream:
        """The process that answers requests.

        Raises:
            GlagolError: The trouble, if there is one.
        """
        if self.trouble is not None:
            raise self.trouble
        return self._upstream

    def retry_after_s(self) -> int:
        """In how many whole seconds there may be a model again, at least 1."""
        return max(1, round(self._resume_s - self._clock()))

    async def run(self) -> None:
        """Keep the process alive until `stop`, or until its files turn out to be wrong."""
        pause_s = PAUSE_S
        while not self._stopping.is_set():
            began_s = self._clock()
            try:
                await self._life()
            except HostError as error:
                self._note(error)
            except GlagolError as error:
                self._note(error)
                return  # the same bytes and settings would fail again
            if self._clock() - began_s >= GOOD_S:
                pause_s = PAUSE_S
            self._resume_s = self._clock() + pause_s
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def close(self) -> None:
        """Refuse every further request; requests in flight continue."""
        self.closed = True
        self.trouble = HostError("not_ready", "the server is stopping", "ask another one")

    def stop(self) -> None:
        """Ask the process to end; `run` returns when it has. A second call does not wait.

        A model that is being verified is not waited for: its thread ends with this process.
        """
        self.close()
        if self._child is not None:
            if self._stopping.is_set():
                self._child.kill()
            else:
                self._child.stop()
        self._stopping.set()

    def _note(self, error: GlagolError) -> None:
        if self.closed:
            return
        self.trouble = error
        journal.error("vllm is not serving", error, starts=self.starts)

    async def _life(self) -> None:
        """Run the process once; raises when it ends unasked."""
        began_s = self._clock()
        if not await self._prepared():
            return
        lines = Lines()
        self.starts += 1
        child = self._child = self._vllm.start(lines.tell)
        try:
            await self._begin(child, lines)
            proof = await self._prove(self._upstream)
            if not self.closed:
                lines.serving, self.trouble = True, None
                start_s = round(self._clock() - began_s, 3)
                self.report = {**proof, "start_s": start_s, "starts": self.starts}
                journal.write("ready", start_s=start_s, starts=self.starts)
            await self._watch(child)
        finally:
            if not self._stopping.is_set():
                child.kill()
            await asyncio.shield(child.ended)
            self._child = None

    async def _prepared(self) -> bool:
        """Prepare the model; False when `stop` came first."""
        prepared = _in_thread(self._vllm.prepare)
        stopping = asyncio.create_task(self._stopping.wait())
        either: set[asyncio.Future[Any]] = {prepared, stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if not prepared.done():
            prepared.cancel()
            return False
        prepared.result()
        return not self._stopping.is_set()

    async def _begin(self, child: Child, lines: Lines) -> None:
        until_s = self._clock() + START_S
        while not await self._healthy():
            if child.ended.done():
                raise _failed(child.ended.result(), lines)
            if self._clock() > until_s:
                raise unavailable(f"it did not start in {START_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _watch(self, child: Child) -> None:
        """Until the process ends, or has not answered three times."""
        silent = 0
        while silent < LOOKS_MAX:
            done, _ = await asyncio.wait({child.ended}, timeout=LOOK_S)
            if done:
                if self._stopping.is_set():
                    return
                raise unavailable(f"it ended with status {child.ended.result()}")
            silent = 0 if await self._healthy() else silent + 1
        raise unavailable(f"it was silent {LOOKS_MAX} times")

    async def _healthy(self) -> bool:
        try:
            answer = await self._upstream.client.get("/health", timeout=LOOK_TIMEOUT_S)
        except httpx.TransportError:
            return False
        return answer.status_code == _OK


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """The end of `work` in a thread that neither the event loop nor the interpreter waits for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failure = None
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nothing awaits the future any more
            loop.call_soon_threadsafe(settle, failure)

    threading.Thread(target=run, name="prepare", daemon=True).start()
    return done


def _failed(status: int, lines: Lines) -> HostError:
    """Why the process ended before it served."""
    small = lines.too_small()
    if small is not None:
        return HostError(
            "vram_too_small",
            f"vLLM says: {small.strip()}",
            "see `glagol plan-gpu`; change LLM_MEMORY or LLM_MAX_CONTEXT, or take a smaller model",
        )
    why = lines.last_error()
    return unavailable(f"it ended with status {status} while it started{': ' if why else ''}{why}")
