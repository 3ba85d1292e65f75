"""What a real browser makes of it: the page of the routes, and its microphone transcribed live.

Skipped where Chromium is not installed (Debian: `apt install chromium`).
"""

from __future__ import annotations

import asyncio
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

import sounds
from asr.live.test_live import recording
from asr.process import PATIENCE_S, Server, start

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HOSTILE = """
const url = %r;
const form = new FormData();
form.append("file", new Blob(["RIFF"]), "a.wav");
const post = { method: "POST", body: form, mode: "no-cors" };
const socket = new WebSocket(url.replace("http", "ws") + "/v1/stream");
const seen = (promise) => promise.then((answer) => answer.status, () => "unread");
window.found = null;
Promise.all([
  seen(fetch(url + "/v1/jobs")),
  seen(fetch(url + "/v1/jobs/1", { method: "DELETE" })),
  seen(fetch(url + "/v1/transcribe?async=true", post)),
  new Promise((done) => {
    socket.onopen = () => done("open");
    socket.onerror = () => done("shut");
  }),
]).then((all) => { window.found = all.join(" "); });
"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


class Tab:
    """A tab by the DevTools protocol; `events` is what it sent so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command."""
        self._count += 1
        own = self._count
        await self._socket.send(json.dumps({"id": own, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE_S))
            if message.get("id") == own:
                return dict(message["result"])
            self.events.append(message)

    async def value(self, script: str) -> Any:
        """What an expression is on the page."""
        found = await self.ask("Runtime.evaluate", expression=script, userGesture=True)
        return found["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not await self.value(script):
            assert time.monotonic() < end, script
            await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        """Go there, and wait until it is there."""
        for domain in ("Network", "Log", "Page"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=url)
        await self.until(f"location.href == {url!r} && document.readyState == 'complete'")


@asynccontextmanager
async def tab(folder: Path, *options: str) -> AsyncIterator[Tab]:
    assert CHROMIUM is not None
    log = folder / "chromium.log"
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    arguments += ["--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"]
    with log.open("wb") as stderr:
        browser = subprocess.Popen([CHROMIUM, *arguments, *options, "about:blank"], stderr=stderr)
    try:
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(r"(ws://\S+/devtools)/browser/\S+(?=\n)", log.read_text())):
            assert time.monotonic() < end, log.read_text()
            await asyncio.sleep(0.05)
        async with connect(found[0], proxy=None) as root:
            target = (await Tab(root).ask("Target.createTarget", url="about:blank"))["targetId"]
            async with connect(f"{found[1]}/page/{target}", proxy=None, max_size=None) as socket:
                yield Tab(socket)
    finally:
        browser.terminate()
        browser.wait(PATIENCE_S)


def browse(folder: Path, visit: Callable[[Tab], Coroutine[Any, Any, Any]], *options: str) -> Any:
    async def run() -> Any:
        async with tab(folder, *options) as opened:
            return await visit(opened)

    return asyncio.run(run())


def test_the_page_of_the_routes_asks_no_other_host(server: Server, tmp_path: Path) -> None:
    """One request, no complaint about the policy, and its style is applied."""

    async def visit(page: Tab) -> tuple[set[str], list[str], str]:
        await page.open(f"{server.url}/docs")
        style = await page.value("getComputedStyle(document.querySelector('details')).borderStyle")
        urls = {
            event["params"]["request"]["url"]
            for event in page.events
            if event["method"] == "Network.requestWillBeSent"
        }
        messages = [
            event["params"]["entry"]["text"]
            for event in page.events
            if event["method"] == "Log.entryAdded"
        ]
        return urls, messages, style

    urls, messages, style = browse(tmp_path, visit)
    assert {url for url in urls if not url.endswith("/favicon.ico")} == {f"{server.url}/docs"}
    assert not [text for text in messages if "favicon" not in text]
    assert style == "solid"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The origin of another site: the folder of examples on a port of its own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing: the test looks at the server's log."""

    handler = partial(Quiet, directory=str(EXAMPLES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://localhost:{pages.server_port}"
        pages.shutdown()


@pytest.fixture(scope="module")
def listed(home: Path, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that admits the pages of the site."""
    folder = tmp_path_factory.mktemp("listed")
    running = start(home, folder / "scratch", ASR_ORIGINS=site)
    yield running
    assert running.stop() == 0


def test_a_page_of_another_site_reaches_nothing(server: Server, site: str, tmp_path: Path) -> None:
    """Neither from its own port nor under a name that it has rebound to the server's address."""
    rebound = server.url.replace("127.0.0.1", "attacker.example")

    async def attack(page: Tab, url: str) -> str:
        await page.value(HOSTILE % url)
        await page.until("window.found !== null")
        return str(await page.value("window.found"))

    async def visit(page: Tab) -> tuple[str, str]:
        await page.open(f"{site}/stream.html")
        elsewhere = await attack(page, server.url)
        await page.ask("Page.setBypassCSP", enabled=True)  # the hostile page has its own policy
        await page.open(f"{rebound}/health")
        return elsewhere, await attack(page, rebound)

    with server.client() as client:
        before = client.get("/v1/jobs").json()["data"]["jobs"]
        seen = len(server.lines("request"))
        rule = "--host-resolver-rules=MAP attacker.example 127.0.0.1"
        found = browse(
            tmp_path, visit, rule, "--no-proxy-server", "--disable-features=HttpsUpgrades"
        )
        assert client.get("/v1/jobs").json()["data"]["jobs"] == before
    assert found == ("unread unread unread shut", "421 421 421 shut")
    lines = server.lines("request")[seen:]
    messages = {
        (line["method"], line["code"]) for line in lines if "allowed" in line.get("code", "")
    }
    assert messages == {  # a browser asks again after 421
        ("DELETE", "host_not_allowed"),
        ("GET", "host_not_allowed"),
        ("POST", "host_not_allowed"),
        ("POST", "origin_not_allowed"),
        ("WEBSOCKET", "host_not_allowed"),
        ("WEBSOCKET", "origin_not_allowed"),
    }


@pytest.mark.slow
def test_a_microphone_is_transcribed_live(listed: Server, site: str, tmp_path: Path) -> None:
    """The clip as the browser's microphone: WebM with Opus, guesses, then the final words."""
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(recording())
    with listed.client() as client:
        data = client.put("/v1/transcribe", content=sounds.clip()).json()["data"]
    words = data["text"].split()

    async def visit(page: Tab) -> str:
        await page.open(f"{site}/stream.html")
        url = listed.url.replace("http", "ws", 1) + "/v1/stream"
        await page.value(f"document.getElementById('url').value = {url!r}")
        await page.value("document.getElementById('start').click()")
        await page.until("document.getElementById('guess').textContent.length > 0")
        await page.until("document.getElementById('text').textContent.length > 0")
        await page.value("document.getElementById('stop').click()")
        return str(await page.value("document.getElementById('text').textContent"))

    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    text = browse(tmp_path, visit, *fake, f"--use-file-for-fake-audio-capture={microphone}")
    transcribed = text.split()
    assert len(set(transcribed) & set(words)) >= len(set(words)) // 2, text
