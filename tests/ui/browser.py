"""What tests of the pages share: a real server, Debian's Chromium, and pages that must stay quiet.

A pytest plugin (`-p ui.browser`); `build/test-ui` runs it in the environment of lock/ui.txt.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

import sounds
from asr.process import PATIENCE_S, Server, environment
from gateway.serving import data, serve, settled
from homes import make_home

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
PICTURES = Path(os.environ.get("GLAGOL_PICTURES", ".work/pictures"))
WAIT_MS = 100_000.0  # of a condition; a busy machine needs long
NEAR_S = 0.05  # between a word and the sound that was asked for
AWAY = re.compile(r"net::ERR_|WebSocket connection to")


@dataclass
class Watched:
    """A context of the browser whose pages may not complain or ask other servers.

    Attributes:
        context: Of the browser.
        url: Of the server.
        complaints: What pages said.
        sockets: Addresses of the WebSockets that pages opened.
        requests: Addresses that pages asked for.
        away: Whether the server was away: then the browser itself says that requests failed.
    """

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    away: bool = False

    def page(self, path: str = "", ready: str = "") -> Page:
        """A new page; at `path`, where `ready` is an element that shows that it works."""
        page = self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("websocket", lambda socket: self.sockets.append(socket.url))
        page.on("request", lambda request: self._asked(request.url))
        if path:
            page.goto(self.url + path)
        if ready:
            page.wait_for_selector(ready, state="attached")
        return page

    def recording(self, identity: str, rest: str = "") -> Page:
        """The page of a recording, its text in place."""
        return self.page(f"/r/{identity}{rest}", "body[data-ready]")

    def home(self) -> Page:
        """The first page, its list in place."""
        return self.page("/", "#live-send:not([hidden])")

    def quiet(self) -> None:
        """Check that no page complained."""
        meant = [c for c in self.complaints if not (self.away and AWAY.search(c))]
        assert not meant, meant

    def _asked(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"foreign request: {url}")


Open = Callable[..., Watched]
Start = Callable[..., Server]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a real model."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`glagol serve` for every test that does not end it."""
    started = serve(home, tmp_path_factory.mktemp("serving"))
    yield started
    assert started.stop() == 0, started.log.read_text()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, without a browser of its own."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    started = launch(playwright)
    yield started
    started.close()


def launch(playwright: Playwright, *options: str) -> Browser:
    """Chromium with more options."""
    arguments = ["--no-sandbox", "--disable-gpu", *options]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture
def own(home: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts servers that a test may end; they outlive its pages, which must not miss them."""
    started: list[Server] = []

    def start(folder: str = "serving", **settings: Any) -> Server:
        started.append(serve(home, tmp_path / folder, **settings))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def visit(browser: Browser, server: Server, own: Start) -> Iterator[Open]:
    """Opens contexts of the browser; at the end none of their pages may have complained."""
    opened: list[Watched] = []

    def open_(url: str = "", **options: Any) -> Watched:
        settings = {"locale": "ru-RU", "viewport": {"width": 1366, "height": 900}, **options}
        made = Watched(browser.new_context(**settings), url or server.url)
        opened.append(made)
        return made

    yield open_
    for each in opened:
        each.context.close()
    for each in opened:
        each.quiet()


@pytest.fixture(scope="session")
def call(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A call of two channels of 89 s in the library, transcribed; its id."""
    return put(server, "Звонок 112-4471.wav", dialogue(), channel="split")


def put(server: Server, title: str, body: bytes, **options: str) -> str:
    """A recording in the library, transcribed; its id."""
    with server.client() as client:
        query = {"title": title, **options}
        made = data(client.put("/ui/recordings", params=query, content=body))
        assert settled(client, made["id"])["state"] == "done"
        return str(made["id"])


def dialogue(times: int = 4) -> bytes:
    """The clip said by turns in two channels, so many times each, as WAV."""
    import numpy as np

    samples, rate = sounds.samples()
    nothing, pause = np.zeros_like(samples), np.zeros(rate // 2, np.float32)
    left = np.concatenate([samples, pause, nothing, pause] * times)
    right = np.concatenate([nothing, pause, samples, pause] * times)
    return sounds.wav(np.stack([left, right], axis=1), rate)


def segments(server: Server, identity: str) -> list[list[Any]]:
    """The segments of a recording's text, in columns."""
    with server.client() as client:
        found: list[list[Any]] = data(client.get(f"/ui/recordings/{identity}/text"))["segments"]
    return found


def until(true: Callable[[], Any], what: str = "") -> Any:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def worked_s(server: Server) -> float:
    """Processor time of a server and of its processes that have ended."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def again(server: Server) -> None:
    """Kill a server, if it still runs, and start it as it was, at the same address."""
    process = server.process
    if process.poll() is None:
        server.kill()
    port = server.url.rpartition(":")[2]
    server.process = subprocess.Popen(
        process.args,
        env=environment(
            server.home,
            TMPDIR=str(server.scratch),
            HOME=str(server.own),
            ASR_STATE=str(server.state),
            ASR_PORT=port,
        ),
        stderr=server.log.open("ab"),
    )

    def answers() -> bool:
        with server.client() as client:
            try:
                return client.get("/ready").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

    until(answers, "the server does not start again")
