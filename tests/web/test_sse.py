"""Server-sent events: what is written, byte for byte, and that it is read by the WHATWG's rules."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.web import sse
from glagol.web.sse import Event

ENDS = ("\n", "\r", "\r\n")
# what the rules treat in a way of their own comes often
TEXT = st.text(st.sampled_from("\n\r: d\0é\ufeff") | st.characters(codec="utf-8"), max_size=40)
ONE_LINE = TEXT.map(lambda text: re.sub(r"[\r\n]", "", text))
ID = ONE_LINE.map(lambda text: text.replace("\0", ""))


def read(stream: bytes, cuts: list[int] | None = None) -> list[Event]:
    """The events of a whole stream, fed in pieces that end at `cuts`."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts or ()), len(stream)]
    reader = sse.Reader()
    return [event for begin, end in pairwise(edges) for event in reader.feed(stream[begin:end])]


@pytest.mark.parametrize(
    ("written", "stream"),
    [
        (sse.event(b"{}"), b"data: {}\n\n"),
        (sse.event(b"{}", name="error"), b"event: error\ndata: {}\n\n"),
        (sse.event(b"{}", name="state", event_id="7"), b"id: 7\nevent: state\ndata: {}\n\n"),
        (sse.event(b"a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (sse.comment("the job runs"), b": the job runs\n\n"),
        (sse.retry(2000), b"retry: 2000\n\n"),
    ],
)
def test_what_is_written(written: bytes, stream: bytes) -> None:
    """To the byte; the order of the fields is a promise to readers that match text."""
    assert written == stream


@given(
    events=st.lists(st.tuples(TEXT, ONE_LINE, ID), max_size=4),
    between=st.sampled_from([b"", sse.comment("alive"), sse.retry(5)]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_the_reader_reads_what_the_writer_writes(
    events: list[tuple[str, str, str]], between: bytes, cuts: list[int]
) -> None:
    """Data with any line ends, in pieces of any size; CR and CRLF come back as LF."""
    stream, expected, last_id = b"", [], ""
    for text, name, event_id in events:
        stream += sse.event(text.encode(), name=name, event_id=event_id) + between
        last_id = event_id or last_id
        data = re.sub(r"\r\n?", "\n", text).encode()
        expected.append(Event(data, name or "message", last_id))
    assert read(stream, cuts) == expected


@given(text=TEXT, ends=st.lists(st.sampled_from(ENDS), min_size=60, max_size=60))
def test_any_line_end_ends_a_line(text: str, ends: list[str]) -> None:
    """A stream whose lines end in CR, CRLF and LF in turn says the same, whole and in bytes."""
    lines = sse.event(text.encode(), name="n").split(b"\n")[:-1]
    last = len(lines) - 1  # the empty line: its LF after a CR would not be a line end of its own
    ends[last] = "\r" if ends[last - 1] == "\r" else ends[last]
    stream = b"".join(line + end.encode() for line, end in zip(lines, ends, strict=False))
    data = re.sub(r"\r\n?", "\n", text).encode()
    assert read(stream) == read(stream, list(range(len(stream)))) == [Event(data, "n")]


def test_examples_of_the_standard() -> None:
    """The streams that section 9.2.6 explains, with what it says they mean."""
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event(b"YHOO\n+2\n10")]
    four = (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    )
    assert read(four + b"\n\n") == [
        Event(b"first event", event_id="1"),
        Event(b"second event"),
        Event(b" third event"),
    ]
    assert read(four) == read(four + b"\n\n")[:2], "an event without its empty line is not given"
    assert read(b"data\n\ndata\ndata\n\ndata:") == [Event(b""), Event(b"\n")]
    assert read(b"data:test\n\ndata: test\n\n") == [Event(b"test")] * 2


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")]),  # only the stream's first one
        (b"event: gone\n\ndata: a\n\n", [Event(b"a")]),  # no data: no event, and the name ends
        (b"id: 3\n\ndata: a\n\n", [Event(b"a", event_id="3")]),  # but the id stays
        (b"id: 1\0\ndata: a\n\n", [Event(b"a")]),
        (b"unknown: 1\nDATA: b\ndata : c\ndata: a\n\n", [Event(b"a")]),
        (b"data: a\r\rdata: b\r\n\r\n", [Event(b"a"), Event(b"b")]),
        (b"data: a\r\ndata: b\r\n\r\n", [Event(b"a\nb")]),
    ],
)
def test_corners_of_the_rules(stream: bytes, events: list[Event]) -> None:
    """Byte by byte too, so that no rule depends on how the stream arrives."""
    assert read(stream) == read(stream, list(range(len(stream)))) == events


@pytest.mark.parametrize(
    ("value", "expected"), [("5", 5), ("", None), ("5s", None), ("-5", None), ("9" * 19, None)]
)
def test_retry_is_digits(value: str, expected: int | None) -> None:
    """Whatever else it says is passed over."""
    reader = sse.Reader()
    assert reader.feed(f"retry: {value}\n".encode()) == []
    assert reader.retry_ms == expected


@pytest.mark.parametrize("end", ENDS)
def test_a_field_of_one_line_is_one_line(end: str) -> None:
    """A name, id or comment with a line end would be another field: it is a bug, and refused."""
    text = f"a{end}data: b"
    with pytest.raises(ValueError, match="line end"):
        sse.event(b"", name=text)
    with pytest.raises(ValueError, match="line end"):
        sse.event(b"", event_id=text)
    with pytest.raises(ValueError, match="line end"):
        sse.comment(text)
    with pytest.raises(ValueError, match="NUL"):
        sse.event(b"", event_id="\0")
