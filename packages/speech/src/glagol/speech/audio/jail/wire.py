"""Frames between a child and its parent: one byte of kind, four of length, the payload.

The parent trusts nothing that a child sends: lengths are bounded before anything is allocated,
small values are msgpack of a declared type, samples are plain float32, and nothing is unpickled.
"""

from __future__ import annotations

import math
import re
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import numpy as np

from glagol.core.errors import CODES, GlagolError, HostError, InputError, LimitError
from glagol.speech.types import Array, Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BLOCK_SAMPLES",
    "HEADER",
    "Confinement",
    "End",
    "Escapes",
    "Failure",
    "Kind",
    "Opened",
    "Task",
    "ViolationError",
    "block_of",
    "decoded",
    "length_of",
    "raised",
]

HEADER = struct.Struct("<BI")
BLOCK_SAMPLES = 32_000
"""Of each channel in one frame; a decoder's larger blocks are divided."""

CHANNELS_MAX = 8
VALUE_BYTES = 1 << 18
MESSAGE_CHARS = 500
WARNINGS_MAX = 500
FULL_SCALE = 4.0
"""Resampling ripple stays far below."""

_CODE = re.compile(r"[a-z0-9_]{1,40}")
T = TypeVar("T")


class Kind(IntEnum):
    """What a frame holds."""

    TASK = 1
    """Parent: a `Task`, with the descriptor of the recording."""
    DATA = 2
    """Parent: the bytes that NEED asked for; none at the end."""
    HELLO = 16
    """Child: a `Confinement`; it waits for its task."""
    OPENED = 17
    """Child: an `Opened`."""
    BLOCK = 18
    """Child: float32 little-endian samples [n] or [n, C]."""
    WARNINGS = 19
    """Child: all warnings up to now."""
    NEED = 20
    """Child: how many bytes of a stream it can take, as uint32."""
    COPY = 21
    """Child: bytes of a listening copy behind their offset, uint64."""
    PEAKS = 22
    """Child: int8 pairs of lowest and highest sample."""
    END = 23
    """Child: an `End`; the work is done."""
    FAILURE = 24
    """Child: a `Failure`."""
    ESCAPES = 25
    """Child: an `Escapes`."""


_LIMITS = {
    Kind.BLOCK: BLOCK_SAMPLES * CHANNELS_MAX * 4,
    Kind.NEED: 4,
    Kind.COPY: 8 + (1 << 20),
    Kind.PEAKS: 1 << 20,
    Kind.DATA: 1 << 20,
}


class ViolationError(Exception):
    """The child sent what it must not."""


class Task(msgspec.Struct, frozen=True):
    """What a child shall do.

    Attributes:
        kind: decode a file, decode a stream, make a listening copy, or try to break out.
        max_seconds: as for `decode`.
        split: as for `decode`.
        track: as for `decode`.
        size_bytes: of the recording.
        bit_rate: of each channel of a listening copy, bits per second; 0 for its peaks alone.
        port: of 127.0.0.1, that is tried when it tries to break out.
    """

    kind: Literal["decode", "stream", "copy", "escape"]
    max_seconds: float = 0.0
    split: bool = False
    track: int | None = None
    size_bytes: int = 0
    bit_rate: int = 0
    port: int = 0


class Confinement(msgspec.Struct, frozen=True):
    """What holds a child.

    Attributes:
        landlock: version of the kernel's interface, 0 where it is not in force.
        seccomp: whether system calls are filtered.
        rlimits: whether memory and processor time are bounded.
    """

    landlock: int
    seccomp: bool
    rlimits: bool


class Opened(msgspec.Struct, frozen=True):
    """`AudioSource`'s attributes."""

    declared_s: float | None
    channels: int
    warnings: list[Notice]


class End(msgspec.Struct, frozen=True):
    """All warnings, and of a listening copy its seconds and channels."""

    warnings: list[Notice] = []
    seconds: float = 0.0
    channels: int = 0


class Failure(msgspec.Struct, frozen=True):
    """An error: code, message and remedy of ours, or the code "internal"."""

    code: str
    message: str
    remedy: str = ""


class Escapes(msgspec.Struct, frozen=True):
    """By the name of an attempt to break out: the errno that refused it, 0 where it succeeded."""

    tried: dict[str, int]


def length_of(header: bytes | bytearray) -> tuple[Kind, int]:
    """Kind and payload length of a frame.

    Raises:
        ViolationError: there is no such kind, or it is too long.
    """
    number, length = HEADER.unpack(header)
    try:
        kind = Kind(number)
    except ValueError:
        raise ViolationError(f"there is no frame {number}") from None
    if length > _LIMITS.get(kind, VALUE_BYTES):
        raise ViolationError(f"a frame {kind.name} of {length} bytes")
    return kind, length


def decoded(data: bytes | bytearray, form: type[T]) -> T:
    """A value of a declared type, with plausible numbers.

    Raises:
        ViolationError: it is not.
    """
    try:
        value = msgspec.msgpack.decode(data, type=form)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ViolationError(str(error)) from None
    if isinstance(value, Opened):
        seconds = value.declared_s
        if not 1 <= value.channels <= CHANNELS_MAX:
            raise ViolationError(f"{value.channels} channels")
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise ViolationError(f"{seconds} seconds")
    return value


def notices(found: Sequence[Notice]) -> tuple[Notice, ...]:
    """Warnings of a child as they may be shown.

    Raises:
        ViolationError: there are too many, or one has no form.
    """
    if len(found) > WARNINGS_MAX:
        raise ViolationError(f"{len(found)} warnings")
    for each in found:
        numbers = [n for n in (each.at_s, each.missing_s) if n is not None]
        if not _CODE.fullmatch(each.code) or not all(map(math.isfinite, numbers)):
            raise ViolationError("a warning without form")
    return tuple(Notice(n.code, _shown(n.message), n.at_s, n.missing_s) for n in found)


def block_of(data: bytearray, channels: int, *, split: bool) -> Array:
    """Samples of a frame, float32 [n], or [n, C] if split.

    Raises:
        ViolationError: they are none, or not numbers near [-1, 1].
    """
    if not data or len(data) % (4 * channels):
        raise ViolationError(f"{len(data)} bytes for {channels} channels")
    samples: Array = np.frombuffer(data, "<f4")
    if not float(np.abs(samples).max()) <= FULL_SCALE:  # false for NaN, too
        raise ViolationError("samples that are no sound")
    return samples.reshape(-1, channels) if split else samples


def raised(failure: Failure) -> Exception:
    """The exception that the child met."""
    code, message, remedy = failure.code, _shown(failure.message), _shown(failure.remedy)
    found = CODES.get(code)
    if found is None or found.family not in (InputError, LimitError, HostError):
        return RuntimeError(f"the process that opens recordings made a mistake: {message}")
    error: GlagolError = found.family(code, message, remedy)
    return error


def _shown(text: str) -> str:
    """Text that may stand in a log or an answer."""
    return "".join(c if c.isprintable() else "?" for c in text[:MESSAGE_CHARS])
