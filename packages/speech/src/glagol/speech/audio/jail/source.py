"""A recording that a child decodes, as its parent sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypeVar

import msgspec

from glagol.core.errors import HostError, InputError, LimitError
from glagol.speech.audio.jail import wire
from glagol.speech.audio.jail.channel import ClosedError, ParentEnd
from glagol.speech.audio.jail.wire import Kind, ViolationError
from glagol.speech.types import SAMPLE_RATE, Array, Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from glagol.speech.audio.findings import Findings
    from glagol.speech.audio.jail.limits import Limits
    from glagol.speech.audio.jail.spawner import Spawner
    from glagol.speech.audio.jail.wire import Task

__all__ = ["Answers", "JailedSource", "streamed"]

TICK_S: Final = 0.1
"""How often a waiting parent looks whether the sound is still wanted."""

SLOW_S: Final = 0.2
"""A child that gives nothing for so long may be one that only wants the processor."""

STATUS_S: Final = 1.0
PATIENCE_S: Final = 0.02
"""How long `JailedSource.ready` waits, all its calls between two that say no together."""

SIGNALS: Final = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 31: "SIGSYS"}
KILLED, CPU_TIME = 9, 24

T = TypeVar("T")


class Answers:
    """The frames of one child, within its limits; closing it kills the child.

    Args:
        spawner: whose child it is.
        child: taken from it.
        limits: how long it is waited for.
        cancelled: asked every tenth of a second while something is waited for.
    """

    def __init__(
        self,
        spawner: Spawner,
        child: ParentEnd,
        limits: Limits,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._spawner = spawner
        self._child = child
        self._limits = limits
        self._cancelled = cancelled
        self._since: float | None = None
        self._asked = 0.0
        self._waited_s = 0.0
        self._next: tuple[Kind, bytearray] | None = None
        self._trouble: ClosedError | ViolationError | None = None
        self._closed = False
        self.sound_s = 0.0

    def begin(self, task: Task, descriptors: Sequence[int] = ()) -> None:
        """Give the child its task.

        Raises:
            InputError, HostError: as `frame`.
        """
        self._guarded(
            lambda: self._child.send(Kind.TASK, msgspec.msgpack.encode(task), descriptors)
        )

    def give(self, data: bytes) -> None:
        """Give it the bytes that it asked for.

        Raises:
            InputError, HostError: as `frame`.
        """
        self._guarded(lambda: self._child.send(Kind.DATA, data))

    def arrived(self, wait_s: float) -> bool:
        """Whether `frame` would return, or raise, soon; waits at most `wait_s` for it."""
        if self._next is None and self._trouble is None and not self._closed:
            try:
                self._next = self._look(wait_s)
            except (ClosedError, ViolationError) as error:
                self._trouble = error
        there = self._next is not None or self._trouble is not None
        return there or self._closed or self._late() is not None

    def frame(self) -> tuple[Kind, bytearray]:
        """The next frame; an error of the child is raised.

        Raises:
            InputError: what the child met; `audio_refused`, it did not keep its limits.
            LimitError: what it met.
            HostError: what it met; `cancelled`; `decoder_lost`, something killed it.
        """
        self.wait()
        found, self._next = self._next, None
        if found is None:
            self.close()
            _refused(self._late() or "took too long")
        if found[0] is Kind.FAILURE:
            self.close()
            failure = self._guarded(lambda: wire.decoded(found[1], wire.Failure))
            raise wire.raised(failure)
        return found

    def wait(self) -> None:
        """Wait for the next frame, or until the child is too slow.

        Raises:
            InputError, HostError: as `frame`, but for what the child met.
        """
        while not self.arrived(TICK_S):
            if self._cancelled is not None and self._cancelled():
                self.close()
                raise HostError("cancelled", "the reading was cancelled", "send it again if needed")
        if self._closed:
            raise HostError("cancelled", "the recording was closed", "send it again if needed")
        if self._trouble is not None:
            self._guarded(self._raise)

    def value(self, data: bytearray, form: type[T]) -> T:
        """A small value of a frame.

        Raises:
            InputError: `audio_refused`, it has another form.
        """
        return self._guarded(lambda: wire.decoded(data, form))

    def check(self, look: Callable[[], T]) -> T:
        """The value of `look`, which raises ViolationError for what a child must not send.

        Raises:
            InputError: `audio_refused`.
        """
        return self._guarded(look)

    def close(self) -> None:
        """Kill the child; further calls do nothing."""
        if not self._closed:
            self._closed = True
            self._spawner.release(self._child)

    def _look(self, wait_s: float) -> tuple[Kind, bytearray] | None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        found = self._child.take(wait_s)
        if found is not None:
            self._waited_s += time.monotonic() - self._since
            self._since = None
        elif now - self._since > SLOW_S and now > self._asked + SLOW_S:
            self._asked = now
            self._spawner.give_way(self._child)
        return found

    def _raise(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _late(self) -> str | None:
        """How the child is too slow; None while it is not."""
        if self._since is None:
            return None
        now_s = time.monotonic() - self._since
        if now_s > self._limits.idle_s:
            return f"gave no sound for {self._limits.idle_s:g} s"
        if self._waited_s + now_s > self._limits.grace_s + self.sound_s:
            return "takes longer than to listen to it"
        return None

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ClosedError:
            status = None if self._closed else self._spawner.ended(self._child, STATUS_S)
            self.close()
            _dead(status)
        except ViolationError:
            self.close()
            _refused("gave something that is no sound")


class JailedSource:
    """Blocks of a recording; see `glagol.speech.audio.source.AudioSource`.

    What the child says first is waited for when one of the attributes is asked for.

    Args:
        answers: of a child that has the recording as its task; they are this object's.
        max_seconds: longest accepted duration.
        split: whether the channels are kept apart.
    """

    def __init__(self, answers: Answers, max_seconds: float, *, split: bool) -> None:
        self._answers = answers
        self._samples_max = max_seconds * SAMPLE_RATE
        self._split = split
        self._samples = 0
        self._patience_s = PATIENCE_S
        self._over = False
        self._first: wire.Opened | None = None
        self._warnings: tuple[Notice, ...] = ()

    @property
    def declared_s(self) -> float | None:
        """Duration that the container states, seconds; None when it states none."""
        return self.opened().declared_s

    @property
    def channels(self) -> int:
        """Channels of a block; 1 unless they are kept apart."""
        return self.opened().channels

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What was found missing or damaged up to now; complete after the last block."""
        self.opened()
        return self._warnings

    def opened(self) -> wire.Opened:
        """Wait until the child has opened the recording, if it has not.

        Raises:
            InputError, LimitError, HostError: as `Opener`.
        """
        if self._first is None:
            kind, data = self._answers.frame()
            if kind is not Kind.OPENED:
                self._answers.check(lambda: _violated(kind))
            first = self._answers.value(data, wire.Opened)
            self._warnings = self._answers.check(lambda: wire.notices(first.warnings))
            self._first = first
        return self._first

    def __iter__(self) -> Iterator[Array]:
        return self

    def __next__(self) -> Array:
        self.opened()
        while not self._over:
            kind, data = self._answers.frame()
            if kind is Kind.BLOCK:
                return self._block(data)
            self._other(kind, data)
        raise StopIteration

    def ready(self) -> bool:
        """Whether the next block, the end or an error is there; waits a moment for it.

        All calls between two that say no wait 0.02 s together, so a slow recording takes little
        of its reader's time.
        """
        began = time.monotonic()
        found = self._over or self._answers.arrived(max(0.0, self._patience_s))
        self._patience_s -= time.monotonic() - began
        if not found:
            self._patience_s = PATIENCE_S
        return found

    def arrived(self) -> bool:
        """The same without waiting."""
        return self._over or self._answers.arrived(0.0)

    def close(self) -> None:
        """Kill the child; the file stays open."""
        self._over = True
        self._answers.close()

    def _block(self, data: bytearray) -> Array:
        channels, split = self.channels, self._split
        block = self._answers.check(lambda: wire.block_of(data, channels, split=split))
        self._samples += len(block)
        self._answers.sound_s = self._samples / SAMPLE_RATE
        if self._samples > self._samples_max:
            self.close()
            raise LimitError(
                "audio_too_long",
                f"the audio is longer than the limit of {self._samples_max / SAMPLE_RATE:g} s",
                "split the recording, or ask the operator to raise the limit",
            )
        return block

    def _other(self, kind: Kind, data: bytearray) -> None:
        if kind not in (Kind.WARNINGS, Kind.END):
            self._answers.check(lambda: _violated(kind))
        self._warnings = _notices_of(self._answers, kind, data)
        if kind is Kind.END:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def streamed(
    answers: Answers, read: Callable[[int], bytes], findings: Findings | None = None
) -> Iterator[Array]:
    """Blocks of a stream whose bytes arrive; `read` as for `streaming.container`.

    Args:
        answers: of a child that has a stream as its task.
        read: waits for bytes.
        findings: its `ended` becomes what the child found.

    Yields:
        float32 [n], mono 16 kHz.

    Raises:
        InputError, LimitError, HostError: as `streaming.container`, and as `Answers.frame`.
    """
    try:
        while True:
            kind, data = answers.frame()
            if kind is Kind.NEED and len(data) == 4:
                size = min(int.from_bytes(data, "little"), 1 << 20)
                answers.give(read(max(1, size)))
            elif kind is Kind.BLOCK:
                block = answers.check(lambda: wire.block_of(data, 1, split=False))  # noqa: B023
                answers.sound_s += len(block) / SAMPLE_RATE
                yield block
            elif kind in (Kind.WARNINGS, Kind.END):
                found = _notices_of(answers, kind, data)
                if findings is not None:
                    findings.ended = list(found)
                if kind is Kind.END:
                    return
            else:
                answers.check(lambda: _violated(kind))  # noqa: B023
    finally:
        answers.close()


def _notices_of(answers: Answers, kind: Kind, data: bytearray) -> tuple[Notice, ...]:
    """The warnings of a frame."""
    if kind is Kind.END:
        found = answers.value(data, wire.End).warnings
    else:
        found = answers.value(data, list[Notice])
    return answers.check(lambda: wire.notices(found))


def _violated(kind: Kind) -> NoReturn:
    raise ViolationError(f"a frame {kind.name} out of order")


def _dead(status: int | None) -> NoReturn:
    """Raise what the end of a child means.

    Raises:
        InputError: `audio_refused`, the recording brought it about.
        HostError: `decoder_lost`, something else did.
    """
    number = None if status is None else status & 0x7F
    if number is None or number == KILLED:
        raise HostError(
            "decoder_lost",
            "the process that opened the recording was killed",
            "send it again; if it stays so, look whether the machine's memory is used up",
        )
    if number == CPU_TIME:
        _refused("takes more processor time than one recording may have")
    _refused(f"broke its decoder ({SIGNALS.get(number, f'status {status}')})")


def _refused(what: str) -> NoReturn:
    raise InputError(
        "audio_refused",
        f"the recording {what}",
        "convert it to WAV or FLAC, for example with ffmpeg",
    )
