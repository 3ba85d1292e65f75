"""Opens untrusted recordings: each in a child process of its own, a few at a time."""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from glagol.speech.audio.jail import wire
from glagol.speech.audio.jail.channel import readable
from glagol.speech.audio.jail.fair import FairThreads, result_of
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.source import Answers, JailedSource, streamed
from glagol.speech.audio.jail.spawner import Spawner
from glagol.speech.audio.jail.wire import Kind, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from glagol.speech.audio.findings import Findings
    from glagol.speech.audio.jail.spawner import Tell
    from glagol.speech.audio.jail.wire import Confinement
    from glagol.speech.types import Array, Notice

__all__ = ["Copied", "Jail"]

LOOK_S: Final = 0.1
TRIES: Final = 3
"""Children that are tried when one after the other is killed before it answers."""

COPY_BIT_RATE: Final = 24_000
"""Bits per second and channel: speech that is pleasant to listen to, 11 MB an hour."""

COPY_BYTES_PER_SECOND: Final = 64_000
COPY_BYTES_MIN: Final = 1 << 20
PEAK_BYTES_PER_SECOND: Final = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Copied:
    """A listening copy that was written, or peaks without one.

    Attributes:
        seconds: its duration.
        channels: 1 or 2, of the copy.
        peaks: int8 pairs of lowest and highest sample, 50 a second, 127 is full scale.
        warnings: what the recording lacks.
    """

    seconds: float
    channels: int
    peaks: bytes
    warnings: tuple[Notice, ...]


class Jail:
    """Children that open recordings; shared by threads.

    Args:
        limits: of each child.
        slots: recordings that are opened at a time. A child whose recording is open takes no slot
            any more: its reader bounds how many there are.
        tell: what takes note of events, for the log.
    """

    def __init__(self, limits: Limits | None = None, *, slots: int = 4, tell: Tell) -> None:
        self._limits = limits or Limits()
        self._spawner = Spawner(self._limits, tell)
        self._threads = FairThreads(slots, "opening")

    def start(self) -> None:
        """Start the process that children are forked from; returns at once."""
        self._spawner.start()

    def close(self) -> None:
        """End all children; what is read from them fails."""
        self._threads.close()
        self._spawner.close()

    @property
    def children(self) -> int:
        """Children at work."""
        return self._spawner.children

    @property
    def waiting(self) -> int:
        """Recordings that wait for a slot."""
        return self._threads.waiting

    @property
    def restarts(self) -> int:
        """How often the process that children are forked from had to be started again."""
        return max(0, self._spawner.starts - 1)

    @property
    def zygote(self) -> int | None:
        """Process id of the process that children are forked from."""
        return self._spawner.pid

    def open(
        self,
        file: BinaryIO,
        *,
        max_seconds: float,
        split: bool = False,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
        owner: str = "",
    ) -> JailedSource:
        """Open audio in a child and wait for it; an `Opener` (`glagol.speech.audio.source`).

        Args:
            file: as in `decode`; it is not read in this process.
            max_seconds: as in `decode`.
            split: as in `decode`.
            track: as in `decode`.
            cancelled: asked every tenth of a second while something is waited for.
            owner: whose recording it is; slots are divided among owners.

        Returns:
            The opened audio; close it.

        Raises:
            InputError, LimitError: as `decode`; `audio_refused`.
            HostError: as `decode`; `decoder_lost`.
        """
        wanted = partial(
            self._opened, file, _task(file, max_seconds, split=split, track=track), cancelled
        )
        return self._waited(owner, wanted, cancelled)

    def begun(
        self,
        file: BinaryIO,
        *,
        max_seconds: float,
        split: bool = False,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> JailedSource | None:
        """Give the recording to a child that is ready now; takes no slot and never waits.

        Args:
            file: as in `decode`; up to a mebibyte if it is in memory.
            max_seconds: as in `decode`.
            split: as in `decode`.
            track: as in `decode`.
            cancelled: as in `open`.

        Returns:
            The audio, which is being opened: errors are raised when it is used. None when no child
            is ready.

        Raises:
            HostError: `decoder_lost`.
        """
        child = self._spawner.take_now()
        if child is None:
            return None
        task = _task(file, max_seconds, split=split, track=track)
        answers = Answers(self._spawner, child, self._limits, cancelled)
        try:
            _give(answers, task, file)
        except BaseException:
            answers.close()
            raise
        return JailedSource(answers, max_seconds, split=split)

    def opening(
        self,
        file: BinaryIO,
        *,
        max_seconds: float,
        split: bool = False,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
        owner: str = "",
    ) -> Future[JailedSource]:
        """As `open`, without waiting; cancelling the future gives up a recording that waits."""
        wanted = partial(
            self._opened, file, _task(file, max_seconds, split=split, track=track), cancelled
        )
        return self._threads.submit(owner, wanted)

    def stream(
        self,
        read: Callable[[int], bytes],
        *,
        track: int | None = None,
        findings: Findings | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Array]:
        """As `glagol.speech.audio.streaming.container`, in a child; takes no slot.

        Args:
            read: waits for bytes; called in the caller's thread.
            track: as in `container`.
            findings: its `ended` becomes what is missing or damaged.
            cancelled: asked while the child is waited for.

        Yields:
            Blocks float32 [n], mono 16 kHz.

        Raises:
            InputError, LimitError, HostError: as `open`, and what `read` raises.
        """
        answers = self._begun(Task("stream", track=track), cancelled)
        with closing(answers):
            yield from streamed(answers, read, findings)

    def copy(
        self,
        file: BinaryIO,
        into: BinaryIO,
        *,
        max_seconds: float,
        track: int | None = None,
        bit_rate: int = COPY_BIT_RATE,
        cancelled: Callable[[], bool] | None = None,
        owner: str = "",
    ) -> Copied:
        """Write a listening copy: Opus in MP4, index first, at most two channels.

        Args:
            file: as in `decode`.
            into: seekable binary file.
            max_seconds: as in `decode`.
            track: as in `decode`.
            bit_rate: of each channel, bits per second.
            cancelled: as in `open`.
            owner: as in `open`.

        Returns:
            What was written, with the recording's peaks.

        Raises:
            InputError, LimitError, HostError: as `open`.
        """
        task = _task(file, max_seconds, track=track, kind="copy", bit_rate=bit_rate)
        wanted = partial(self._copied, file, into, task, cancelled)
        return self._waited(owner, wanted, cancelled)

    def peaks(
        self,
        file: BinaryIO,
        *,
        max_seconds: float,
        track: int | None = None,
        cancelled: Callable[[], bool] | None = None,
        owner: str = "",
    ) -> Copied:
        """The peaks of a recording that needs no copy; arguments, value and errors as `copy`."""
        task = _task(file, max_seconds, track=track, kind="copy")
        wanted = partial(self._copied, file, io.BytesIO(), task, cancelled)
        return self._waited(owner, wanted, cancelled)

    def escapes(self, port: int = 9) -> tuple[Confinement, dict[str, int]]:
        """Let a child try what no decoder needs: files, sockets, programs, other processes.

        Args:
            port: of 127.0.0.1, that it tries to connect to.

        Returns:
            What holds it, and by attempt the errno that refused it, 0 where it succeeded.

        Raises:
            HostError: `decoder_lost`.
        """
        with io.BytesIO(b"mine") as file:
            task = Task("escape", size_bytes=4, port=port)
            answers = self._begun(task, None, file)
        with closing(answers):
            kind, data = answers.frame()
            tried = answers.value(data, wire.Escapes).tried
        if kind is not Kind.ESCAPES or self._spawner.confinement is None:
            raise AssertionError("a child answers what it is asked")
        return self._spawner.confinement, tried

    def _waited(
        self, owner: str, wanted: Callable[[], T], cancelled: Callable[[], bool] | None
    ) -> T:
        return result_of(self._threads.submit(owner, wanted), LOOK_S, cancelled or (lambda: False))

    def _begun(
        self, task: Task, cancelled: Callable[[], bool] | None, file: BinaryIO | None = None
    ) -> Answers:
        """A child that has the task, and has answered."""
        for left in reversed(range(TRIES)):
            child = self._spawner.take(cancelled or (lambda: False))
            answers = Answers(self._spawner, child, self._limits, cancelled)
            try:
                _give(answers, task, file)
                answers.wait()
            except BaseException as error:
                answers.close()
                if getattr(error, "code", "") == "decoder_lost" and left:
                    continue  # it was killed while it waited, before there was anything to lose
                raise
            return answers
        raise AssertionError("the last try returns or raises")

    def _opened(
        self, file: BinaryIO, task: Task, cancelled: Callable[[], bool] | None
    ) -> JailedSource:
        answers = self._begun(task, cancelled, file)
        try:
            source = JailedSource(answers, task.max_seconds, split=task.split)
            source.opened()
        except BaseException:
            answers.close()
            raise
        return source

    def _copied(
        self, file: BinaryIO, into: BinaryIO, task: Task, cancelled: Callable[[], bool] | None
    ) -> Copied:
        answers, peaks = self._begun(task, cancelled, file), bytearray()
        size_max = COPY_BYTES_MIN + int(task.max_seconds * COPY_BYTES_PER_SECOND)
        with closing(answers):
            while True:
                kind, data = answers.frame()
                if kind is Kind.PEAKS:
                    peaks += data
                    answers.sound_s = len(peaks) / PEAK_BYTES_PER_SECOND
                    answers.check(partial(_fits, answers.sound_s, task.max_seconds + 1, "peaks"))
                elif kind is Kind.COPY:
                    at = int.from_bytes(data[:8], "little")
                    answers.check(partial(_fits, at + len(data), size_max, "bytes"))
                    into.seek(at)
                    into.write(memoryview(data)[8:])
                elif kind is Kind.END:
                    end = answers.value(data, wire.End)
                    warnings = answers.check(partial(wire.notices, end.warnings))
                    return Copied(end.seconds, end.channels, bytes(peaks), warnings)
                else:
                    answers.check(partial(_fits, 1, 0, kind.name))


def _give(answers: Answers, task: Task, file: BinaryIO | None) -> None:
    if file is None:
        answers.begin(task)
        return
    descriptor = readable(file)
    try:
        answers.begin(task, [descriptor])
    finally:
        os.close(descriptor)


def _fits(value: float, limit: float, what: str) -> None:
    if not value <= limit:
        raise wire.ViolationError(f"too many {what}")


def _task(
    file: BinaryIO,
    max_seconds: float,
    *,
    split: bool = False,
    track: int | None = None,
    kind: str = "decode",
    bit_rate: int = 0,
) -> Task:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if kind == "copy":
        return Task("copy", max_seconds, track=track, size_bytes=size_bytes, bit_rate=bit_rate)
    return Task("decode", max_seconds, split=split, track=track, size_bytes=size_bytes)
