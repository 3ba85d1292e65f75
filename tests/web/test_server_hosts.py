"""A real server as a hostile page reaches it: raw bytes on its socket, over HTTP/1, HTTP/2 and WS.

What a browser itself makes of it is tests/asr/test_browser.py.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

import sounds
from asr.process import PATIENCE_S, Server, start
from homes import make_home

EVIL: Final = "attacker.example"
APP: Final = "https://app.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One without keys on loopback, which `asr.example` and one page elsewhere may ask."""
    folder = tmp_path_factory.mktemp("hosts")
    settings: dict[str, Any] = {"ASR_HOSTS": "asr.example", "ASR_ORIGINS": APP}
    running = start(make_home(folder / "home"), folder / "scratch", **settings)
    yield running
    assert running.stop() == 0


def port(server: Server) -> int:
    """Where it listens on 127.0.0.1."""
    return int(server.url.rpartition(":")[2])


def raw(server: Server, head: str, *lines: str, body: bytes = b"") -> tuple[int, str]:
    """Status and whole answer of a request written byte for byte."""
    text = "\r\n".join([head, *lines, "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE_S) as line:
        line.sendall(text.encode("latin-1") + body)
        parts = []
        while part := line.recv(65536):
            parts.append(part)
    answer = b"".join(parts).decode("latin-1")
    return int(answer.split(maxsplit=2)[1]), answer


def jobs(server: Server) -> list[str]:
    """The ids of all jobs."""
    with server.client() as client:
        return [job["id"] for job in client.get("/v1/jobs").json()["data"]["jobs"]]


def form(boundary: str = "x") -> tuple[list[str], bytes]:
    """Headers and body of a form with a recording, as any page may send it without a preflight."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head.encode() + sounds.clip() + f"\r\n--{boundary}--\r\n".encode()
    kind = f"Content-Type: multipart/form-data; boundary={boundary}"
    return [kind, f"Content-Length: {len(body)}"], body


def test_a_rebound_name_gets_nothing(server: Server) -> None:
    """Its page cannot make, list, read or delete a job, nor read the figures or the schema."""
    with server.client() as client:
        made = client.post("/v1/transcribe?async=true", files={"file": sounds.clip()})
        job = made.json()["data"]["id"]
    host = (f"Host: {EVIL}:{port(server)}", f"Origin: http://{EVIL}:{port(server)}")
    lines, body = form()
    post = raw(server, "POST /v1/transcribe?async=true HTTP/1.1", *host, *lines, body=body)
    answers = [post]
    for request in (
        "GET /v1/jobs?limit=1",
        f"GET /v1/jobs/{job}",
        f"GET /v1/jobs/{job}/result?format=text",
        f"DELETE /v1/jobs/{job}",
        "GET /metrics",
        "GET /v1/models",
        "GET /schema/openapi.json",
        "OPTIONS /v1/jobs",
        "GET //v1//jobs",
        "GET /v1/%6aobs",
    ):
        answers.append(raw(server, f"{request} HTTP/1.1", *host))
    for status, answer in answers:
        assert status == 421, answer
        assert "host_not_allowed" in answer
        assert job not in answer
    assert jobs(server) == [job]
    assert raw(server, "GET /health HTTP/1.1", *host)[0] == 200
    assert raw(server, "GET /ready HTTP/1.1", *host)[0] == 200
    named = raw(server, "GET /v1/jobs HTTP/1.1", "Host: ASR.example.:8443")
    assert named[0] == 200
    assert job in named[1]


def test_what_is_no_single_host_is_refused(server: Server) -> None:
    """None, two, a user name, a zone; of an absolute target the Host header still counts."""
    good = f"Host: 127.0.0.1:{port(server)}"
    evil = f"Host: {EVIL}"
    for head, lines in (
        ("GET /v1/jobs HTTP/1.0", ()),
        ("GET /v1/jobs HTTP/1.1", ()),
        ("GET /v1/jobs HTTP/1.0", (evil,)),
        ("GET /v1/jobs HTTP/1.1", (good, evil)),
        ("GET /v1/jobs HTTP/1.1", (evil, good)),
        ("GET /v1/jobs HTTP/1.1", (good, good)),
        ("GET /v1/jobs HTTP/1.1", (f"Host: 127.0.0.1@{EVIL}",)),
        ("GET /v1/jobs HTTP/1.1", (f"Host: {EVIL}@127.0.0.1",)),
        ("GET /v1/jobs HTTP/1.1", ("Host: [::1%25lo]",)),
        ("GET /v1/jobs HTTP/1.1", ("Host: 127.0.0.1.nip.io",)),
        (f"GET http://127.0.0.1:{port(server)}/v1/jobs HTTP/1.1", (evil,)),
    ):
        status, answer = raw(server, head, *lines)
        assert status in {400, 421}, (head, lines, answer)
        assert '"jobs"' not in answer
    assert raw(server, "GET /v1/jobs HTTP/1.0", good)[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_http2_names_the_host_in_authority(server: Server) -> None:
    """`:authority` is checked as Host is."""

    def status(host: str) -> str:
        address = ["--resolve", f"{host}:{port(server)}:127.0.0.1", "--noproxy", "*"]
        write = ["-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
        url = f"http://{host}:{port(server)}/v1/jobs"
        command = ["curl", "--http2-prior-knowledge", *address, *write, url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert status(EVIL) == "2 421"
    assert status("127.0.0.1") == "2 200"


@pytest.mark.parametrize(
    "lines",
    [
        ("Origin: https://evil.example",),
        ("Origin: null",),
        ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
        ("Sec-Fetch-Site: same-site",),
    ],
)
def test_a_page_elsewhere_changes_nothing(server: Server, lines: tuple[str, ...]) -> None:
    """A form without preflight is refused before its body; so are tus, DELETE and a WebSocket."""
    before = jobs(server)
    host = f"Host: 127.0.0.1:{port(server)}"
    kind, body = form()
    posted = raw(server, "POST /v1/transcribe?async=true HTTP/1.1", host, *lines, *kind, body=body)
    answers = [posted]
    large = "Content-Length: 999999999"
    answers.append(raw(server, "PUT /v1/transcribe HTTP/1.1", host, *lines, large, body=b"RIFF"))
    tus = ("Tus-Resumable: 1.0.0", "Upload-Length: 1", "Content-Length: 0")
    answers.append(raw(server, "POST /v1/uploads HTTP/1.1", host, *lines, *tus))
    answers.append(raw(server, f"DELETE /v1/jobs/{'0' * 20} HTTP/1.1", host, *lines))
    for status, answer in answers:
        assert status == 403, answer
        assert "origin_not_allowed" in answer
        assert "access-control-allow-origin" not in answer.lower()
    assert jobs(server) == before
    assert shaken(server, host, *lines) == 403


def test_a_stream_is_for_own_and_listed_pages(server: Server) -> None:
    """A program and both kinds of pages get their WebSocket, a rebound name does not."""
    own = f"127.0.0.1:{port(server)}"
    assert shaken(server, f"Host: {own}") == 101
    assert shaken(server, f"Host: {own}", f"Origin: http://{own}") == 101
    assert shaken(server, f"Host: {own}", f"Origin: {APP}", "Sec-Fetch-Site: cross-site") == 101
    assert shaken(server, f"Host: {EVIL}", f"Origin: http://{EVIL}") == 403
    refused = [line for line in server.lines("request") if line.get("code") == "host_not_allowed"]
    assert any(line["method"] == "WEBSOCKET" for line in refused)


def shaken(server: Server, *lines: str) -> int:
    """The status of a WebSocket's handshake."""
    wanted = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22)
    text = "\r\n".join(["GET /v1/stream HTTP/1.1", *lines, "Connection: Upgrade", *wanted])
    with socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE_S) as line:
        line.sendall(f"{text}==\r\n\r\n".encode())
        return int(line.recv(65536).split(maxsplit=2)[1])


def test_a_listed_page_may_read(server: Server) -> None:
    """Its preflight is answered, and the answer is for it alone."""
    host = f"Host: 127.0.0.1:{port(server)}"
    ask = "Access-Control-Request-Method: PUT"
    for origin, allowed in ((APP, [APP]), ("https://evil.example", [])):
        for head, more in (("OPTIONS /v1/transcribe", (ask,)), ("GET /v1/models", ())):
            status, answer = raw(server, f"{head} HTTP/1.1", host, f"Origin: {origin}", *more)
            assert status < 300
            given = re.findall(r"(?im)^access-control-allow-origin: (\S+)\r$", answer)
            assert given == allowed
            assert re.search(r"(?im)^vary: origin\r$", answer)
