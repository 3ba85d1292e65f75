"""The page of the routes: whole, escaped, and from nowhere but the server."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest

from asr.conftest import home, server  # noqa: F401 - the real server
from asr.process import Server
from glagol.core.errors import CODES
from glagol.web.api_docs import page

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """What a browser would see: tags in order, attributes that lead somewhere, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.leads: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.leads += [value or "" for name, value in attrs if name in {"href", "src", "action"}]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def answer(server: Server) -> httpx.Response:  # noqa: F811
    with server.client() as client:
        return client.get("/docs")


def test_every_route_code_and_type_is_there(
    answer: httpx.Response,
    server: Server,  # noqa: F811
) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    seen = Page(answer.text)
    assert not seen.open
    with server.client() as client:
        document = client.get("/schema/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"{method.upper()} {path} {operation.get('summary', '')}".strip() in seen.text
    assert set(document["components"]["schemas"]) == seen.ids
    assert all(code in seen.text for code in CODES)
    assert "WEBSOCKET /v1/stream" in seen.text
    assert "Маршруты" in seen.text
    assert len(answer.content) < 1 << 18


def test_nothing_comes_from_elsewhere(answer: httpx.Response) -> None:
    """No script, no address but the server's own and the page's; the policy says the same."""
    seen = Page(answer.text)
    assert not seen.tags & {"script", "img", "iframe", "object", "form", "video", "audio"}
    own = {lead for lead in seen.leads if lead.startswith(("#", "/"))}
    assert own == set(seen.leads)
    assert {lead[1:] for lead in seen.leads if lead.startswith("#")} <= seen.ids
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_words_of_the_document_stay_words() -> None:
    evil = '<script src="https://example.org/x.js">"\'&'
    schema = {"type": "object", "properties": {evil: {"enum": [evil], "description": evil}}}
    content = {"content": {evil: {"schema": schema}}}
    operation = {
        "summary": evil, "description": evil, "requestBody": content,
        "parameters": [{"name": evil, "in": evil, "schema": {"default": evil}}],
        "responses": {"200": {"description": evil, **content}},
    }  # fmt: skip
    document = {
        "info": {"title": evil}, "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {evil: {"description": evil, **schema}}},
    }  # fmt: skip
    made = page(document, [("WS", evil, evil)])
    seen = Page(made.decode())
    assert "script" not in seen.tags
    assert evil in seen.text
    assert made == page(document, [("WS", evil, evil)])
