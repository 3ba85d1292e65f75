"""The work of a child: one task, for one recording, and its end.

It is shut in before it takes the task, so nothing that a recording does to a decoder reaches
further than this process.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import msgspec
import numpy as np

from glagol.core.errors import GlagolError, HostError, InputError
from glagol.speech.audio import streaming
from glagol.speech.audio.decode import decode
from glagol.speech.audio.findings import Findings
from glagol.speech.audio.jail.channel import ChildEnd, ClosedError, pair
from glagol.speech.audio.jail.escape import escape
from glagol.speech.audio.jail.listening import make_copy
from glagol.speech.audio.jail.sandbox import confine
from glagol.speech.audio.jail.wire import (
    BLOCK_SAMPLES,
    HEADER,
    End,
    Failure,
    Kind,
    Opened,
    Task,
)
from glagol.speech.types import Notice

if TYPE_CHECKING:
    from glagol.speech.audio.jail.limits import Limits
    from glagol.speech.types import Array

__all__ = ["Recording", "serve", "warm_up"]

TRACE_CHARS: Final = 400


class Recording(io.RawIOBase):
    """A file by its descriptor; the position is this object's own, nothing else is asked of it.

    Args:
        descriptor: readable; not closed.
        size_bytes: what is behind is not read.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._size = size_bytes
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none at the end.

        Raises:
            HostError: `host_io`.
        """
        left = max(0, self._size - self._at)
        try:
            data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        except OSError as error:
            raise HostError(
                "host_io", f"the recording cannot be read: {error.strerror}", "check the disk"
            ) from None
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it.

        Raises:
            ValueError: it would be negative.
        """
        at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        if at < 0:
            raise ValueError("a position before the start")
        self._at = at
        return at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at


def serve(sock: socket.socket, limits: Limits) -> None:
    """Shut this process in, do one task, and return.

    Args:
        sock: to the parent.
        limits: of this process.
    """
    end = ChildEnd(sock)
    warm_up()
    try:
        end.send_value(Kind.HELLO, confine(limits))
        task, descriptor = end.task(Task)
        try:
            _WORK[task.kind](end, task, descriptor)
        except ClosedError:
            raise
        except GlagolError as error:
            end.send_value(Kind.FAILURE, Failure(error.code, error.message, error.remedy))
        except MemoryError:
            end.send_value(Kind.FAILURE, Failure(*_too_much_memory().args))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            trace = traceback.format_exception(error)[-1].strip()
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{trace[:TRACE_CHARS]} ({Path(frame.filename).name}:{frame.lineno})"
            end.send_value(Kind.FAILURE, Failure("internal", text))
    except ClosedError:
        return


def warm_up() -> None:
    """Do the whole of a task, with silence of ours.

    The zygote loads what a child needs, since a child can open no file; a child has its memory
    copied and its types prepared before it is waited for.
    """
    sound = bytes(3200)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(sound)) + sound
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    parent, sock = pair()
    with parent, sock, os.fdopen(os.memfd_create("silence"), "wb", buffering=0) as file:
        file.write(data)
        task = msgspec.msgpack.encode(Task("decode", 1.0, size_bytes=len(data)))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file.fileno()))]
        parent.sendmsg([HEADER.pack(Kind.TASK, len(task)) + task], rights)
        end = ChildEnd(sock)
        found, descriptor = end.task(Task)
        _decode(end, found, descriptor)
        if descriptor is not None:
            os.close(descriptor)


def _decode(end: ChildEnd, task: Task, descriptor: int | None) -> None:
    source = decode(
        _file(task, descriptor), max_seconds=task.max_seconds, split=task.split, track=task.track
    )
    warned = list(source.warnings)
    end.send_value(Kind.OPENED, Opened(source.declared_s, source.channels, warned))
    for block in source:
        warned = _warn(end, warned, list(source.warnings))
        _send(end, block)
    end.send_value(Kind.END, End(list(source.warnings)))


def _stream(end: ChildEnd, task: Task, _descriptor: int | None) -> None:
    findings, warned = Findings(), list[Notice]()
    for block in streaming.container(end.need, track=task.track, findings=findings):
        warned = _warn(end, warned, findings.notices())
        _send(end, block)
    end.send_value(Kind.END, End(findings.notices()))


def _warn(end: ChildEnd, before: list[Notice], now: list[Notice]) -> list[Notice]:
    """Send the warnings, if there is something new; what was sent last."""
    if now != before:
        end.send_value(Kind.WARNINGS, now)
    return now


def _copy(end: ChildEnd, task: Task, descriptor: int | None) -> None:
    done = make_copy(_file(task, descriptor), task, end)
    end.send_value(Kind.END, done)


_WORK: Final = {"decode": _decode, "stream": _stream, "copy": _copy, "escape": escape}


def _file(task: Task, descriptor: int | None) -> BinaryIO:
    if descriptor is None:
        raise AssertionError("this task comes with a recording")
    return cast("BinaryIO", Recording(descriptor, task.size_bytes))


def _send(end: ChildEnd, block: Array) -> None:
    for at in range(0, len(block), BLOCK_SAMPLES):
        piece = np.ascontiguousarray(block[at : at + BLOCK_SAMPLES], "<f4")
        end.send(Kind.BLOCK, piece.data.cast("B"))


def _too_much_memory() -> InputError:
    return InputError(
        "audio_refused",
        "decoding the recording needs more memory than one recording may have",
        "convert it to WAV or FLAC, for example with ffmpeg",
    )
