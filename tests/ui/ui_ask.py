"""Questions to all recordings: a real rag-server behind the pages, a language model that is played.

The model is a small server with OpenAI's chat route that says what a test has it say: no language
model runs on the machine of the tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from asr.process import Server
from embed import made
from gateway.serving import data, serve
from ui.browser import PICTURES, Open, until
from ui.ui_screens import WIDE, WIDTHS, shown, violations

SRT = """1
00:00:12,500 --> 00:00:16,000
По срокам поставки решили так: первая партия приходит двенадцатого марта

2
00:00:16,500 --> 00:00:21,000
вторую партию ждём до конца квартала, договор готовит Белова

3
00:01:10,000 --> 00:01:14,000
бюджет на поставку утвердили, пересматривать его до лета не будем
"""
SAID = "Первая партия поставки приходит двенадцатого марта [1]. Её везёт бегемот [1][9]."
QUESTION = "Что решили о сроках поставки?"


@dataclass
class Played:
    """A language model: what it says, and its address."""

    says: str
    url: str = ""


@pytest.fixture(scope="module")
def model() -> Iterator[Played]:
    """The server that plays the language model."""
    played = Played(SAID)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"data": [{"id": "played"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer({"choices": [{"message": {"content": played.says}}]})

        def _answer(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    played.url = f"http://127.0.0.1:{server.server_port}"
    yield played
    server.shutdown()


@pytest.fixture(scope="module")
def asked(
    home: Path, model: Played, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    """`glagol serve` before rag-server, with one recording that search has received; its id."""
    encoder = made.make_home(tmp_path_factory.mktemp("encoder"))
    folder = tmp_path_factory.mktemp("rag")
    rag = made.start(encoder, folder, program="rag", RAG_LLM_URL=model.url)
    server = serve(home, tmp_path_factory.mktemp("asking"), GATEWAY_RAG_URL=rag.url)
    with server.client() as client:
        title = {"title": "Планёрка по поставкам"}
        identity = data(client.put("/ui/imports", params=title, content=SRT.encode()))["id"]
        body = {"query": "поставки"}
        until(lambda: data(client.post("/v1/search", json=body))["hits"], "search receives nothing")
        until(lambda: data(client.get("/ui/state"))["services"]["rag"]["ready"], "rag is not ready")
    yield server, identity
    assert server.stop() == 0, server.log.read_text()
    assert rag.stop() == 0, rag.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible_and_whole(
    asked: tuple[Server, str], model: Played, visit: Open, theme: str
) -> None:
    """Empty, answered and without an answer, at two widths; a picture each."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width, height in WIDTHS:
        seen = visit(asked[0].url, viewport={"width": width, "height": height}, color_scheme=theme)
        for name, query, says in (
            ("ask", "", SAID),
            ("ask-answer", f"?q={QUESTION}", SAID),
            ("ask-none", "?q=Сколько стоит договор?", "НЕТ ОТВЕТА"),
            ("ask-search", "", SAID),
        ):
            model.says = says
            path = f"/ask{query}" if name != "ask-search" else "/search?q=поставки"
            page = shown(seen, path)
            page.screenshot(path=PICTURES / f"{name}-{theme}-{width}.png", full_page=True)
            assert page.evaluate(WIDE), (name, width)
            assert violations(page) == [], (name, theme, width)
            page.close()


def test_a_question_is_asked_and_followed_by_keyboard_alone(
    asked: tuple[Server, str], model: Played, visit: Open
) -> None:
    """From the bar to the page, Enter asks, a citation leads to its second of the recording.

    What the model cannot prove is marked, and is no link to anything.
    """
    server, identity = asked
    model.says = SAID
    page = visit(server.url).home()
    page.focus('nav a[href="/ask"]')
    page.keyboard.press("Enter")
    page.wait_for_selector("#question")
    page.focus("#question")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .card")
    sentences = page.locator(".answer .card p").all_inner_texts()
    assert sentences[0].startswith("Первая партия поставки приходит двенадцатого марта.")
    assert "подтверждения нет" not in sentences[0]
    assert "подтверждения нет" in sentences[1]
    assert page.locator(".answer .doubt").count() == 1
    page.focus(".cite >> nth=0")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]", state="attached")
    assert page.url.endswith(f"/r/{identity}#t=12.5")
    assert "двенадцатого марта" in page.inner_text("main")


def test_pages_of_a_server_without_search_do_not_offer_it(server: Server, visit: Open) -> None:
    """No link in the bar; the address itself says what is missing."""
    page = visit().page("/ask", "#main")
    assert page.locator('nav a[href="/ask"]').count() == 0
    assert "rag-server" in page.inner_text("main")
