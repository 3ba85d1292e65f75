"""One try: TLS against the name as given, one time limit for all of it, a bounded schedule."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.jobs.backoff import DELIVERY
from glagol.jobs.webhooks.payload import Delivery
from glagol.jobs.webhooks.send import Outcome, WebhookSettings, send, trust
from glagol.jobs.webhooks.ssrf import Rules

SECRET = "whsec_" + "c2VjcmV0" * 5
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def resolve(_host: str, _port: int) -> Sequence[str]:
    """Every name is this machine."""
    return ["127.0.0.1"]


def attempt(
    answer: Answer,
    *,
    url: str = "http://hook.example:{port}/",
    timeout_s: float = 5.0,
    serves: ssl.SSLContext | None = None,
    trusts: ssl.SSLContext | None = None,
) -> Outcome:
    """Send one delivery to a server that answers by `answer`."""

    async def run() -> Outcome:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=serves)
        port = server.sockets[0].getsockname()[1]
        settings = WebhookSettings((SECRET,), Rules.of(["127.0.0.0/8"], [port]), timeout_s)
        delivery = Delivery(
            url=url.format(port=port),
            job_id="j",
            event="transcription.completed",
            body="{}",
            attempts=1,
        )
        try:
            return await send(
                delivery, "wh_1", 0.0, settings, tls=trusts or trust(), resolve=resolve
            )
        finally:
            server.close()

    return asyncio.run(run())


def saying(text: bytes) -> Answer:
    """Reads the request's head and answers `text`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        writer.close()

    return answer


OK = saying(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of `hook.example`, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    name = ["-subj", "/CN=hook.example", "-addext", "subjectAltName=DNS:hook.example"]
    files = ["-keyout", str(folder / "both.pem"), "-out", str(folder / "cert.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *curve, *name, *files], check=True,
                   capture_output=True)  # fmt: skip
    with (folder / "both.pem").open("ab") as both:
        both.write((folder / "cert.pem").read_bytes())
    return folder / "both.pem"


@pytest.mark.parametrize(
    ("host", "known", "said"),
    [
        ("hook.example", True, "204"),
        ("other.example", True, "unreachable"),
        ("127.0.0.1", True, "unreachable"),
        ("hook.example", False, "unreachable"),
    ],
)
def test_tls_verifies_the_name_as_given(
    certificate: Path, host: str, known: bool, said: str
) -> None:
    """Though an address is dialled: a certificate of another name or authority is refused."""
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=str(certificate)) if known else trust()
    url = f"https://{host}:{{port}}/"
    assert attempt(OK, url=url, serves=serves, trusts=trusts).said == said


def test_slowly_dripping_headers_do_not_hold_a_try() -> None:
    """No single read is late, but the whole is."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"x-drop: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            writer.close()

    assert attempt(drip, timeout_s=0.3) == Outcome("again", "timeout")


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
def test_what_is_no_http_is_tried_again(answer: bytes) -> None:
    """Another service on that port, or a proxy that is starting."""
    assert attempt(saying(answer)) == Outcome("again", "unreachable")


@pytest.mark.parametrize(
    ("text", "asked_s"),
    [
        ("120", 120.0),
        ("999999999999", 21600.0),
        (format_datetime(datetime.fromtimestamp(0, UTC) + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(0, UTC) - timedelta(days=9), usegmt=True), None),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Mon, 99 Foo 99999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, asked_s: float | None) -> None:
    """Seconds or a date; nonsense counts as nothing."""
    head = f"HTTP/1.1 503 No\r\nretry-after: {text}\r\n\r\n".encode("latin-1")
    assert attempt(saying(head)) == Outcome("again", "503", asked_s)


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e12))
def test_the_schedule_is_bounded_and_grows(tries: int, asked_s: float | None) -> None:
    """Never sooner than asked within six hours, never sooner than the try before."""
    pause_s = DELIVERY.pause_s(tries, asked_s)
    assert 5.0 <= pause_s <= 21600.0
    assert pause_s >= min(asked_s or 0.0, 21600.0)
    assert DELIVERY.pause_s(tries + 1, asked_s) >= pause_s
