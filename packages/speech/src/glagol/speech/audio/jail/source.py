"""The parent's side of a recording that a jailed child process decodes."""

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
"""Seconds between two checks of a waiting parent whether the work was cancelled."""

SLOW_S: Final = 0.2
"""A child that sends nothing for so many seconds may only be waiting for the processor."""

STATUS_S: Final = 1.0
PATIENCE_S: Final = 0.02
"""Seconds that `JailedSource.ready` may wait in all until it returns False."""

SIGNALS: Final = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV", 31: "SIGSYS"}
KILLED, CPU_TIME = 9, 24

T = TypeVar("T")


class Answers:
    """Receives the frames of one child, within its limits; `close` kills the child.

    Args:
        spawner: the spawner of the child.
        child: the parent's end of the connection to the child.
        limits: the child's limits of time.
        cancelled: called every tenth of a second during a wait; True stops the work.
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
        self._gave_way = 0.0
        self._waited_s = 0.0
        self._next: tuple[Kind, bytearray] | None = None
        self._trouble: ClosedError | ViolationError | None = None
        self._closed = False
        self.sound_s = 0.0

    def begin(self, task: Task, descriptors: Sequence[int] = ()) -> None:
        """Send the child its task.

        Raises:
            InputError, HostError: as `frame`.
        """
        self._guarded(
            lambda: self._child.send(Kind.TASK, msgspec.msgpack.encode(task), descriptors)
        )

    def give(self, data: bytes) -> None:
        """Send the child the bytes that it requested.

        Raises:
            InputError, HostError: as `frame`.
        """
        self._guarded(lambda: self._child.send(Kind.DATA, data))

    def arrived(self, wait_s: float) -> bool:
        """Whether `frame` would return or raise without a wait; waits at most `wait_s` for that."""
        if self._next is None and self._trouble is None and not self._closed:
            try:
                self._next = self._take(wait_s)
            except (ClosedError, ViolationError) as error:
                self._trouble = error
        there = self._next is not None or self._trouble is not None
        return there or self._closed or self._late() is not None

    def frame(self) -> tuple[Kind, bytearray]:
        """Wait for the next frame and return it; an error that the child reports is raised.

        Raises:
            InputError: reported by the child; `audio_refused`, the child exceeded its limits or
                crashed.
            LimitError: reported by the child.
            HostError: reported by the child; `cancelled`; `decoder_lost`, the child was killed.
        """
        self.wait()
        found, self._next = self._next, None
        if found is None:
            self.close()
            _refuse(self._late() or "took too long")
        if found[0] is Kind.FAILURE:
            self.close()
            failure = self._guarded(lambda: wire.decoded(found[1], wire.Failure))
            raise wire.raised(failure)
        return found

    def wait(self) -> None:
        """Wait for the next frame, or until the child is too slow.

        Raises:
            InputError, HostError: as `frame`, except errors that the child reports.
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
        """Decode the value in a small frame.

        Raises:
            InputError: `audio_refused`, the value has another type.
        """
        return self._guarded(lambda: wire.decoded(data, form))

    def check(self, look: Callable[[], T]) -> T:
        """Return the value of `look`, which raises ViolationError for what a child must not send.

        Raises:
            InputError: `audio_refused`.
        """
        return self._guarded(look)

    def close(self) -> None:
        """Kill the child; further calls do nothing."""
        if not self._closed:
            self._closed = True
            self._spawner.release(self._child)

    def _take(self, wait_s: float) -> tuple[Kind, bytearray] | None:
        """The next frame if it arrives within `wait_s`; a slow child must let others run first."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        found = self._child.take(wait_s)
        if found is not None:
            self._waited_s += time.monotonic() - self._since
            self._since = None
        elif now - self._since > SLOW_S and now > self._gave_way + SLOW_S:
            self._gave_way = now
            self._spawner.give_way(self._child)
        return found

    def _raise(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _late(self) -> str | None:
        """In what way the child is too slow, in words; None while it is fast enough."""
        if self._since is None:
            return None
        now_s = time.monotonic() - self._since
        if now_s > self._limits.idle_s:
            return f"gave no audio for {self._limits.idle_s:g} s"
        if self._waited_s + now_s > self._limits.grace_s + self.sound_s:
            return "takes longer to decode than to play"
        return None

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ClosedError:
            status = None if self._closed else self._spawner.ended(self._child, STATUS_S)
            self.close()
            _raise_for_end(status)
        except ViolationError:
            self.close()
            _refuse("made its decoder send invalid data")


class JailedSource:
    """Blocks of a recording; see `glagol.speech.audio.source.AudioSource`.

    Reading an attribute waits for the child's first frame, which has its value.

    Args:
        answers: the frames of a child whose task is the recording; this object closes them.
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
        """Notices about missing or damaged audio so far; complete after the last block."""
        self.opened()
        return self._warnings

    def opened(self) -> wire.Opened:
        """Wait until the child has opened the recording.

        Raises:
            InputError, LimitError, HostError: as `Opener`.
        """
        if self._first is None:
            kind, data = self._answers.frame()
            if kind is not Kind.OPENED:
                self._answers.check(lambda: _out_of_order(kind))
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
        """Whether the next block, the end or an error is available; may wait for a moment.

        The waits of all calls until one returns False add up to at most 0.02 s, so a slow recording
        takes little of its reader's time.
        """
        began = time.monotonic()
        found = self._over or self._answers.arrived(max(0.0, self._patience_s))
        self._patience_s -= time.monotonic() - began
        if not found:
            self._patience_s = PATIENCE_S
        return found

    def arrived(self) -> bool:
        """Whether the next block, the end or an error is available now; never waits."""
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
            self._answers.check(lambda: _out_of_order(kind))
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
    """Decode a stream in a child while its bytes arrive.

    Args:
        answers: the frames of a child whose task is a stream; they are closed at the end.
        read: waits for at most so many bytes, as for `streaming.container`.
        findings: its `ended` receives the notices of the child.

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
                answers.check(lambda: _out_of_order(kind))  # noqa: B023
    finally:
        answers.close()


def _notices_of(answers: Answers, kind: Kind, data: bytearray) -> tuple[Notice, ...]:
    """The notices in a frame of the kind WARNINGS or END."""
    if kind is Kind.END:
        found = answers.value(data, wire.End).warnings
    else:
        found = answers.value(data, list[Notice])
    return answers.check(lambda: wire.notices(found))


def _out_of_order(kind: Kind) -> NoReturn:
    raise ViolationError(f"a frame {kind.name} out of order")


def _raise_for_end(status: int | None) -> NoReturn:
    """Raise the error for a child that has ended, by its wait status.

    Raises:
        InputError: `audio_refused`, decoding the recording made it end.
        HostError: `decoder_lost`, it was killed for another reason.
    """
    number = None if status is None else status & 0x7F
    if number is None or number == KILLED:
        raise HostError(
            "decoder_lost",
            "the process that opened the recording was killed",
            "send it again; if that fails too, check whether the machine runs out of memory",
        )
    if number == CPU_TIME:
        _refuse("takes more processor time than one recording may use")
    _refuse(f"crashed its decoder ({SIGNALS.get(number, f'status {status}')})")


def _refuse(what: str) -> NoReturn:
    raise InputError(
        "audio_refused",
        f"the recording {what}",
        "convert it to WAV or FLAC, for example with ffmpeg",
    )
