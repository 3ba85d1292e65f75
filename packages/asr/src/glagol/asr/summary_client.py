"""A client of llm-server: a transcript in, the bytes of its summary out.

A job that wants a summary asks here when its transcript is made, and so does the command line. What
fails is an error that leaves the transcript what it is: see `added`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from glagol.core.errors import GlagolError, HostError
from glagol.web import envelope, sse

__all__ = ["Progress", "Summarised", "added", "summary_of"]

CONNECT_S: Final = 5.0
SILENCE_S: Final = 60.0  # llm-server says something every 15 s
EVENT_BYTES_MAX: Final = 64 << 20
_OK: Final = 200


class Progress(msgspec.Struct, frozen=True):
    """How far a summary is: prompts answered and needed; `step` is map or reduce."""

    step: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Summarised:
    """A transcript's JSON with what became of its summary.

    Attributes:
        data: The JSON object.
        code: "done", or the code of what went wrong.
    """

    data: bytes
    code: str


class _Answer(msgspec.Struct, frozen=True):
    data: msgspec.Raw


def summary_of(
    source: Mapping[str, Any],
    url: str,
    *,
    key: str = "",
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> bytes:
    """Have a transcript summarised.

    Args:
        source: The body of `POST /v1/summarize`: text, transcript or job; language, model.
        url: Of llm-server, without a path.
        key: Bearer key; empty for none.
        on_progress: Called when llm-server says how far it is.
        cancelled: Asked then, and whenever llm-server shows that it lives.

    Returns:
        The summary as JSON, the `data` of llm-server's answer to the byte.

    Raises:
        GlagolError: what llm-server says, by its code.
        HostError: `llm_unavailable`, it does not answer; `cancelled`.
    """
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    limits = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
    try:
        with (
            httpx.Client(base_url=url, timeout=limits, trust_env=False) as client,
            client.stream(
                "POST", "/v1/summarize", content=msgspec.json.encode(source), headers=headers
            ) as answer,
        ):
            if answer.status_code != _OK:
                raise _error(answer.read(), f"status {answer.status_code}")
            for event in _events(answer):
                if cancelled():
                    raise HostError("cancelled", "the summary was cancelled", "ask again")
                match event:
                    case sse.Event(data, "progress"):
                        on_progress(msgspec.json.decode(data, type=Progress))
                    case sse.Event(data, "result"):
                        return bytes(msgspec.json.decode(data, type=_Answer).data)
                    case sse.Event(data, "error"):
                        raise _error(data, "an error without a form")
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
        raise _unavailable(type(error).__name__) from error
    raise _unavailable("its answer ended early")


def added(
    stored: bytes, url: str, *, key: str = "", cancelled: Callable[[], bool] = lambda: False
) -> Summarised:
    """A transcript's JSON with its summary, or with the reason why there is none.

    Args:
        stored: A JSON object, the transcript.
        url: Of llm-server; empty when there is none.
        key: As for `summary_of`.
        cancelled: As for `summary_of`.

    Returns:
        The object with `summary` and `summary_error` as its last members; one of them is null.

    Raises:
        HostError: `cancelled`; the transcript is not needed then either.
    """
    summary, trouble, code = b"null", b"null", "done"
    try:
        if not url:
            raise _unavailable("policy.toml names none")
        source = {"transcript": msgspec.Raw(stored)}
        summary = summary_of(source, url, key=key, cancelled=cancelled)
    except GlagolError as error:
        if error.code == "cancelled":
            raise
        code = error.code
        trouble = msgspec.json.encode(envelope.Received(error.code, error.message, error.remedy))
    body = stored.rstrip().removesuffix(b"}")
    return Summarised(body + b',"summary":%b,"summary_error":%b}' % (summary, trouble), code)


def _events(answer: httpx.Response) -> Iterator[sse.Event | None]:
    """The events of a stream; None for a piece that ends none, since it shows a live server."""
    reader, size = sse.Reader(), 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > EVENT_BYTES_MAX:
            raise _unavailable("its answer is too long")
        events = reader.feed(piece)
        yield from events or (None,)


def _error(body: bytes, otherwise: str) -> GlagolError:
    failure = envelope.received(body)
    return failure.error() or _unavailable(failure.message or otherwise)


def _unavailable(why: str) -> HostError:
    return HostError(
        "llm_unavailable", f"llm-server gives no summary: {why}", "look at its /ready, try again"
    )
