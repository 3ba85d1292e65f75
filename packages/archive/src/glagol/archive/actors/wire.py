"""What the driver and its actors say to each other: values of these types, as JSON.

Errors are among them, so that nothing of ours is unpickled. Sound alone travels as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import msgspec

from glagol.core.errors import CODES, GlagolError
from glagol.speech.engines.base import Hypothesis, Request
from glagol.speech.speakers.types import Bounds
from glagol.speech.types import Options

__all__ = [
    "Cut",
    "Failure",
    "Identity",
    "Job",
    "Opened",
    "Part",
    "Recognised",
    "Written",
    "answer",
    "answered",
    "decode",
    "encode",
]

P = ParamSpec("P")
T = TypeVar("T")


class Failure(msgspec.Struct, frozen=True, tag=True):
    """An error on purpose, of an actor."""

    code: str
    message: str
    remedy: str

    def error(self) -> GlagolError:
        """The error again."""
        return CODES[self.code].family(self.code, self.message, self.remedy)


class Job(msgspec.Struct, frozen=True):
    """What all actors of a run need; each opens models by digest itself.

    Attributes:
        home: folder of manifest.json.
        store: folder of the store; empty for the home's.
        model: registry id.
        variant: build; empty for the first that is made for the device.
        device: "cpu" or "cuda".
        threads: of one recogniser.
        chosen: the fields of what the caller chose, as the engine grants them.
        target: folder or address of the results.
        formats: names of the files to write for each recording.
        generation: number of this run on its target.
        slots: recordings that a reader has open at a time.
    """

    home: str
    store: str
    model: str
    variant: str
    device: str
    threads: int
    chosen: Mapping[str, Any]
    target: str
    formats: tuple[str, ...]
    generation: int
    slots: int

    @property
    def options(self) -> Options:
        """What the caller chose."""
        people = self.chosen["speakers"]
        found = None if people is None else Bounds(**people)
        return Options(**{**self.chosen, "speakers": found})


class Identity(msgspec.Struct, frozen=True, tag=True):
    """What a recogniser is.

    Attributes:
        release: of this program.
        provenance: what is known before any audio.
        independent: the request under which windows are from the first on; None if they are not.
    """

    release: str
    provenance: Mapping[str, Any]
    independent: Request | None


class Opened(msgspec.Struct, frozen=True, tag=True):
    """A recording that a reader holds."""

    sha256: str
    size_bytes: int
    version: str


class Cut(msgspec.Struct, frozen=True, tag=True):
    """Windows that come with this as arrays: their channels and seconds, and whether it was all."""

    channels: tuple[int, ...]
    seconds: float
    last: bool


class Recognised(msgspec.Struct, frozen=True, tag=True):
    """Windows recognised; `independent` once those to come do not depend on these."""

    hypotheses: tuple[Hypothesis, ...]
    independent: Request | None


class Part(msgspec.Struct, frozen=True):
    """A file of a table, and of each of its rows the columns `glagol.archive.rows.KEYS`."""

    name: str
    keys: tuple[dict[str, Any], ...]


class Written(msgspec.Struct, frozen=True, tag=True):
    """Results that were written; rows wait until their file of the table is full.

    Attributes:
        seconds: of the recording.
        warnings: how many.
        parts: files of the table that were finished.
    """

    seconds: float = 0.0
    warnings: int = 0
    parts: tuple[Part, ...] = ()


def encode(value: object) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """A value that an actor was given."""
    return msgspec.json.decode(data, type=kind)


def answer(data: bytes, kind: type[T]) -> T:
    """What an actor answered.

    Raises:
        GlagolError: that the actor raised.
    """
    found = msgspec.json.decode(data, type=Failure | kind)
    if isinstance(found, Failure):
        raise found.error()
    value: T = found
    return value


def answered(call: Callable[P, object]) -> Callable[P, bytes]:
    """The value of a call as JSON, or its error as a `Failure`."""

    def wrapped(*args: P.args, **kwargs: P.kwargs) -> bytes:
        try:
            return encode(call(*args, **kwargs))
        except GlagolError as error:
            return encode(Failure(error.code, error.message, error.remedy))

    return wrapped
