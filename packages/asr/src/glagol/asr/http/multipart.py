"""Read a request body, raw or multipart, straight from the socket into a `Spool`.

The framework's own form parser is not used: it keeps a text part of any size in memory and
writes the file twice. Here every part has a limit, and the file's bytes are hashed on the way.
Names of files are not used, and may be in any encoding.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from glagol.asr.http.spool import Place, Spool, too_large
from glagol.core.errors import HostError, InputError
from glagol.core.executors import call

__all__ = [
    "FormError",
    "Receive",
    "Upload",
    "chunks",
    "read_multipart",
    "read_raw",
    "refuse_announced",
]

Receive = Callable[[], Awaitable[Any]]

FIELD_BYTES_MAX: Final = 4096
LONG_FIELDS: Final = {"phrases": 512 * 1024}
"""The bytes of fields that may be longer."""

PARTS_MAX: Final = 1024
"""A list, such as OpenAI's keywords[], has a part for each value."""

UPLOAD: Final = "upload"
"""A form with this field needs no file: it names a resumable upload."""

_FRAMING_BYTES: Final = 640 * 1024  # what boundaries, part headers and text fields may add


@dataclass(slots=True)
class Upload:
    """A received body.

    Attributes:
        file: The audio, rewound; the receiver closes it.
        sha256: Of the audio's bytes, hexadecimal.
        size_bytes: Of the audio.
        fields: The form's text fields; only one whose name ends in [] can have several values.
    """

    file: BinaryIO
    sha256: str
    size_bytes: int
    fields: dict[str, list[str]] = field(default_factory=dict)


def refuse_announced(headers: Mapping[str, str], limit_bytes: int, *, form: bool) -> None:
    """Refuse a body by its Content-Length, before a byte of it is read.

    Raises:
        LimitError: `upload_too_large`.
    """
    announced = headers.get("content-length", "")
    allowed = limit_bytes + (_FRAMING_BYTES if form else 0)
    if announced.isascii() and announced.isdigit() and int(announced) > allowed:
        raise too_large(limit_bytes)


async def read_raw(receive: Receive, place: Place, *, limit_bytes: int, disk: Executor) -> Upload:
    """Spool the whole body in `place`, written in a thread of `disk`.

    Raises:
        InputError: `audio_empty`.
        LimitError: `upload_too_large`, `spool_full`.
        HostError: `cancelled` (the client left), `disk_full`, `host_io`.
    """
    spool = Spool(limit_bytes, place)
    try:
        async for chunk in chunks(receive):
            if spool.feed(chunk):
                await call(disk, spool.flush)
        return _finished(spool, {})
    except BaseException:
        spool.close()
        raise


async def read_multipart(
    receive: Receive,
    place: Place,
    *,
    content_type: str,
    limit_bytes: int,
    disk: Executor,
    bare: bool = False,
) -> Upload:
    """Spool the part `file` in `place`, collect the text fields.

    Args:
        receive: The request's.
        place: Where the file goes.
        content_type: With the boundary.
        limit_bytes: Of the file.
        disk: The threads that write it.
        bare: Whether the file may be missing; it may, too, where a field names an upload.

    Raises:
        InputError: `request_invalid`, `audio_empty`.
        LimitError: `upload_too_large`, `spool_full`.
        HostError: `cancelled`, `disk_full`, `host_io`.
    """
    form = _Form(content_type, Spool(limit_bytes, place), bare=bare)
    try:
        async for chunk in chunks(receive):
            if form.feed(chunk):
                await call(disk, form.spool.flush)
        return form.finished()
    except MultipartError as error:
        form.spool.close()
        raise _malformed(str(error)) from error
    except BaseException:
        form.spool.close()
        raise


class _Form:
    """Parser state of one multipart body: the open part, the collected fields."""

    def __init__(self, content_type: str, spool: Spool, *, bare: bool) -> None:
        kind, options = parse_options_header(content_type)
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise InputError(
                "request_invalid",
                "POST needs Content-Type multipart/form-data with a boundary",
                "send the audio as the form field 'file', or PUT its raw bytes",
            )
        self.spool = spool
        self._bare = bare
        self._fields: dict[str, list[bytearray]] = {}
        self._part: MultipartSegment | None = None
        self._name = ""  # of that part
        self._files = 0
        self._total_bytes = 0
        # sizes are limited here and in the spool, which know the names of the errors; Latin-1 has a
        # letter for every byte, and the names of our fields are the same in it
        self._parser = PushMultipartParser(
            options["boundary"], max_segment_count=PARTS_MAX, header_charset="latin-1"
        )

    def feed(self, chunk: bytes) -> bool:
        """Parse `chunk`; returns whether the spool needs a flush."""
        full = False
        self._total_bytes += len(chunk)
        for event in self._parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._open(event)
            elif event is not None:
                full |= self._take(event)
        if self._total_bytes - self.spool.size_bytes > _FRAMING_BYTES + len(chunk):
            raise _malformed("too many bytes outside of the file")
        return full

    def finished(self) -> Upload:
        """The upload, once the last chunk was fed."""
        self._parser.close()
        if not (self._files or self._bare or UPLOAD in self._fields):
            others = ", ".join(repr(name[:64]) for name in self._fields)
            raise _malformed(
                f"there is no part named 'file'{f', only {others}' if others else ''}", "file"
            )
        fields = {
            name: [_text(name, value) for value in values] for name, values in self._fields.items()
        }
        if not self._files:
            return Upload(*self.spool.finish(), 0, fields)
        return _finished(self.spool, fields)

    def _open(self, part: MultipartSegment) -> None:
        self._part = part
        self._name = name = part.name.encode("latin-1").decode(errors="replace")
        if name == "file":
            self._files += 1
            if self._files > 1:
                raise _malformed("there is more than one part named 'file'", name)
        elif name in self._fields and not name.endswith("[]"):
            raise _malformed(f"the field {name[:64]!r} is there twice", name)
        else:
            self._fields.setdefault(name, []).append(bytearray())

    def _take(self, data: bytes) -> bool:
        if self._part is None:
            raise AssertionError("the parser yields a part before its data")
        if self._name == "file":
            return self.spool.feed(data)
        value = self._fields[self._name][-1]
        allowed = LONG_FIELDS.get(self._name, FIELD_BYTES_MAX)
        if len(value) + len(data) > allowed:
            wrong = "has a file" if self._part.filename else f"is longer than {allowed} bytes"
            raise _malformed(f"the field {self._name[:64]!r} {wrong}", self._name)
        value += data
        return False


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body's chunks as the server delivers them.

    Raises:
        LimitError: `body_too_slow`, by the layer around the application.
        HostError: `cancelled`, the client left.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HostError("cancelled", "the client disconnected while sending", "send it again")
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)


def _finished(spool: Spool, fields: dict[str, list[str]]) -> Upload:
    if not spool.size_bytes:
        raise InputError("audio_empty", "the audio has no bytes", "send a file with audio in it")
    file, sha256 = spool.finish()
    return Upload(file, sha256, spool.size_bytes, fields)


class FormError(InputError):
    """`request_invalid` with the wrong field of the form, where it is known.

    Args:
        reason: What is wrong.
        parameter: The field; None where it is no single one.
    """

    def __init__(self, reason: str, parameter: str | None) -> None:
        super().__init__(
            "request_invalid",
            f"the form cannot be read: {reason}",
            "send multipart/form-data with the audio as the field 'file'",
        )
        self.parameter = parameter


def _malformed(reason: str, field: str | None = None) -> FormError:
    return FormError(reason, field and field[:64])


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed(f"the field {name[:64]!r} is not UTF-8", name) from None
