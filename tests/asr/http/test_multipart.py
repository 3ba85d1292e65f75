"""Bodies arrive in any cut, within limits, and never stay behind."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.asr.http import multipart
from glagol.asr.http.multipart import Upload, read_multipart, read_raw
from glagol.asr.http.spool import ANYWHERE
from glagol.core.errors import GlagolError

DISK = ThreadPoolExecutor(1)
BOUNDARY = "----x"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes, filename: str = "") -> bytes:
    tail = f'; filename="{filename}"' if filename else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def close() -> bytes:
    return f"--{BOUNDARY}--\r\n".encode()


class Wire:
    """An ASGI `receive` over given chunks; then silence or a disconnect."""

    def __init__(self, *chunks: bytes, leaves: bool = False) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        self.messages.append(
            {"type": "http.disconnect"}
            if leaves
            else {"type": "http.request", "body": b"", "more_body": False}
        )

    async def __call__(self) -> dict[str, Any]:
        return self.messages.pop(0)


def form(*chunks: bytes, limit: int = 1 << 20) -> Upload:
    return asyncio.run(
        read_multipart(Wire(*chunks), ANYWHERE, content_type=FORM, disk=DISK, limit_bytes=limit)
    )


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=3000), cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_any_cut_of_a_form_gives_the_same_upload(data: bytes, cuts: list[int]) -> None:
    """Chunk borders mean nothing, wherever they fall, boundary lines inside the data included."""
    data += f"\r\n--{BOUNDARY[:-1]}\r\n".encode() + data
    body = part("format", b"srt") + part("file", data, "запись.wav") + close()
    edges = sorted({0, len(body), *(c for c in cuts if c < len(body))})
    got = form(*(body[a:b] for a, b in itertools.pairwise(edges)))
    assert got.file.read() == data
    assert got.sha256 == hashlib.sha256(data).hexdigest()
    assert got.size_bytes == len(data)
    assert got.fields == {"format": ["srt"]}


@settings(max_examples=20, deadline=None)
@given(chunks=st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=8))
def test_raw_bodies_are_kept_byte_for_byte(chunks: list[bytes]) -> None:
    """The digest is of exactly what was sent."""
    got = asyncio.run(read_raw(Wire(*chunks), ANYWHERE, disk=DISK, limit_bytes=1 << 20))
    assert got.file.read() == b"".join(chunks)
    assert got.sha256 == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_a_large_body_goes_to_an_unnamed_file() -> None:
    """Beyond a megabyte the bytes are on disk, under no name, and gone when closed."""
    chunk = os.urandom(1 << 18)
    got = asyncio.run(read_raw(Wire(*[chunk] * 20), ANYWHERE, disk=DISK, limit_bytes=1 << 30))
    assert got.sha256 == hashlib.sha256(chunk * 20).hexdigest()
    inner: Any = got.file
    assert os.fstat(inner.fileno()).st_nlink == 0
    got.file.close()


@pytest.mark.parametrize(
    ("code", "chunks"),
    [
        ("request_invalid", [b"no form at all"]),
        ("request_invalid", [part("file", b"x")]),  # never closed
        ("request_invalid", [part("format", b"srt"), close()]),  # no file
        ("request_invalid", [part("file", b"x"), part("file", b"y"), close()]),
        ("request_invalid", [part("format", b"a"), part("format", b"b"), part("file", b"x")]),
        ("request_invalid", [part("note", b"a" * 5000), part("file", b"x"), close()]),
        ("request_invalid", [part(f"f{i}", b"a") for i in range(40)]),
        ("request_invalid", [part("note", b"\xff"), part("file", b"x"), close()]),
        ("request_invalid", [part("file", b"x"), close(), *[b"z" * 65536] * 12]),  # endless tail
        ("request_invalid", [*[b"z" * 65536] * 12]),  # endless preamble
        ("audio_empty", [part("file", b""), close()]),
        ("upload_too_large", [part("file", b"x" * 70_000), part("file", b"x" * 70_000)]),
    ],
)
def test_wrong_forms_are_refused(code: str, chunks: list[bytes]) -> None:
    """Each with its code, and with the spool closed."""
    with pytest.raises(GlagolError) as caught:
        form(*chunks, limit=65_536)
    assert caught.value.code == code


@pytest.mark.parametrize("charset", ["utf-8", "cp1251", "koi8-r", "cp866", "iso-8859-1"])
@given(text=st.text("абвгдежзийклмнопрстуфхцчшщъыьэюяАЯЁёé №.", min_size=1, max_size=20))
def test_the_name_of_the_file_is_in_any_encoding(charset: str, text: str) -> None:
    """As 1C, old PHP and Delphi send it: it is not used."""
    name = text.encode(charset, "ignore")
    head = b'; filename="' + name + b'"\r\nContent-Type: audio/wav\r\n\r\n'
    body = part("format", b"srt") + part("file", b"abc").replace(b"\r\n\r\n", head, 1) + close()
    got = form(body)
    assert (got.file.read(), got.fields) == (b"abc", {"format": ["srt"]})
    got.file.close()


@pytest.mark.parametrize(
    ("chunks", "field", "words"),
    [
        ([part("audio", b"x", "a.wav"), close()], "file", "only 'audio'"),
        ([part("audio", b"x" * 5000, "a.wav"), close()], "audio", "'audio' has a file"),
        ([part("note", b"\xff"), part("file", b"x"), close()], "note", "'note' is not UTF-8"),
        ([part("язык", b"a" * 5000), close()], "язык", "'язык' is longer than 4096"),
        (
            [part("a", b"1"), part("a", b"2"), part("file", b"x"), close()],
            "a",
            "'a' is there twice",
        ),
    ],
)
def test_a_wrong_field_is_named(chunks: list[bytes], field: str, words: str) -> None:
    """In the message, and for OpenAI's `param`."""
    with pytest.raises(multipart.FormError, match=words) as caught:
        form(*chunks)
    assert caught.value.parameter == field


def test_a_text_part_cannot_fill_the_memory() -> None:
    """The limit stops the reader at once: the rest of the body is not even asked for."""
    wire = Wire(part("note", b"a" * 1000)[:-2], *[b"a" * 65_536] * 1000)
    with pytest.raises(GlagolError, match="longer than 4096"):
        asyncio.run(
            read_multipart(wire, ANYWHERE, content_type=FORM, disk=DISK, limit_bytes=1 << 40)
        )
    assert len(wire.messages) > 990


def test_leaving_ends_the_upload() -> None:
    """A client that goes away is a cancellation; one that falls silent is ended by `BodyRate`."""
    with pytest.raises(GlagolError) as gone:
        asyncio.run(read_raw(Wire(b"abc", leaves=True), ANYWHERE, disk=DISK, limit_bytes=100))
    assert gone.value.code == "cancelled"


@pytest.mark.parametrize(
    ("length", "refused"), [("100", False), ("101", True), ("9" * 30, True), ("x", False)]
)
def test_an_announced_length_is_enough_to_refuse(length: str, refused: bool) -> None:
    """By Content-Length alone; a nonsensical one is left to the server."""
    if not refused:
        multipart.refuse_announced({"content-length": length}, 100, form=False)
        return
    with pytest.raises(GlagolError) as caught:
        multipart.refuse_announced({"content-length": length}, 100, form=False)
    assert caught.value.code == "upload_too_large"
