"""A server of ours is its routes: the layers around them and their order come from one builder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import delete, get, post
from litestar.params import FromPath, RawBody
from litestar.response import Response

from glagol.core.errors import LimitError
from glagol.web import api_docs
from glagol.web.access.api_keys import Keyring, Scope, now_utc
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.host_check import Rules
from glagol.web.access.refusal import plain
from glagol.web.app import Application, build
from glagol.web.links import relative
from glagol.web.serve import UNRESTRICTED, Operator

Ended = list[tuple[str, int]]


class Watcher:
    """Remembers how requests ended."""

    def __init__(self) -> None:
        self.ended_as: Ended = []

    def began(self) -> None:
        """Nothing."""

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """The route and the status."""
        del total_s, note
        self.ended_as.append((route, status))


@get("/v1/things/{name:str}", sync_to_thread=False)
def thing(name: FromPath[str]) -> Response[str]:
    """Busy for the name `busy`."""
    if name == "busy":
        raise LimitError("busy", "no place", "wait")
    return Response(name)


@get(["/v1/openai", "/health"], sync_to_thread=False)
def busy() -> Response[str]:
    """Never has a place."""
    raise LimitError("busy", "no place", "wait")


@get("/ready", sync_to_thread=False)
def ready() -> Response[str]:
    """Says so."""
    return Response("ready")


@delete("/v1/take/it", sync_to_thread=False, status_code=200)
def dropped() -> Response[str]:
    """Where overrides are obeyed."""
    return Response("gone")


@delete("/v1/things/{name:str}", sync_to_thread=False, status_code=200)
def kept(name: FromPath[str]) -> Response[str]:
    """Where they are not."""
    return Response(name)


@post("/v1/take", sync_to_thread=False, status_code=200)
def take(body: RawBody) -> Response[str]:
    """How many bytes came."""
    return Response(str(len(body)))


THIRD = Application(
    title="Glagol third-server",
    handlers=[thing, busy, ready, take, dropped, kept, api_docs.handler()],
    scopes=(("/v1/", "llm"),),
    openai=("/v1/openai",),
    needs="the scope llm",
    body_bytes_max=1000,
    overridden=("/v1/take",),
)


def made(watcher: Watcher, operator: Operator = UNRESTRICTED) -> httpx.AsyncClient:
    """A client of the server; it comes from another machine."""
    app: Any = build(THIRD, {}, watcher, lambda: 7, operator, Rules("THIRD_"), BodyRate(500))
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 5))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def ask(client: httpx.AsyncClient, path: str, **rest: Any) -> httpx.Response:
    """One request."""
    return asyncio.run(client.request(rest.pop("method", "GET"), path, **rest))


def test_routes_have_the_layers_around_them() -> None:
    """Ids, headers, errors in both shapes with Retry-After, and routes counted by template."""
    watcher = Watcher()
    client = made(watcher)
    answer = ask(client, "/v1/things/one", headers={"x-request-id": "r1"})
    assert (answer.status_code, answer.text) == (200, "one")
    assert answer.headers["x-request-id"] == "r1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    ours, openai = ask(client, "/v1/things/busy"), ask(client, "/v1/openai")
    assert ours.json()["error"]["remedy"] == "wait"
    assert openai.json()["error"]["type"] == "server_error"
    assert ours.headers["retry-after"] == openai.headers["retry-after"] == "7"
    assert ask(client, "/v1/none").status_code == 404
    assert watcher.ended_as == [
        ("/v1/things/{name}", 200),
        ("/v1/things/{name}", 503),
        ("/v1/openai", 503),
        ("other", 404),
    ]


def test_the_document_and_its_page_are_there() -> None:
    """With the server's title and what its keys need."""
    client = made(Watcher())
    document = ask(client, "/schema/openapi.json").json()
    assert document["info"]["title"] == "Glagol third-server"
    assert (
        "403 without the scope llm,"
        in document["components"]["securitySchemes"]["key"]["description"]
    )
    assert "Glagol third-server" in ask(client, "/docs").text


def test_a_body_over_the_limit_is_refused() -> None:
    """The server's own limit counts."""
    client = made(Watcher())
    assert ask(client, "/v1/take", method="POST", content=bytes(1000)).text == "1000"
    assert ask(client, "/v1/take", method="POST", content=bytes(1001)).status_code == 413


@pytest.mark.parametrize("path", ["/v1/things/one", "/metrics", "/elsewhere"])
def test_a_refused_request_is_read_logged_and_counted(path: str) -> None:
    """Access is inside `drain_body`, and that inside the request log; the routes see nothing."""
    watcher, left = Watcher(), [b"a", b"b", b"c"]

    async def body() -> AsyncIterator[bytes]:
        while left:
            yield left.pop()

    client = made(watcher, Operator(keys=Keyring))
    answer = ask(client, path, method="POST", content=body(), headers={"content-length": "3"})
    assert answer.status_code == 401
    assert answer.headers["x-request-id"]
    assert not left
    assert [status for _, status in watcher.ended_as] == [401]


@pytest.mark.parametrize(("scope", "status"), [("llm", 200), ("jobs", 403)])
def test_a_key_opens_what_its_scope_names(scope: Scope, status: int) -> None:
    """The path_rules are the server's; /health and the document need no key."""
    ring, text = Keyring().add("alice", created=now_utc(), scopes=(scope,))
    client = made(Watcher(), Operator(keys=lambda: ring))
    headers = {"authorization": f"Bearer {text}"}
    assert ask(client, "/v1/things/one", headers=headers).status_code == status
    assert ask(client, "/health").status_code == 503, "open, and its handler is busy"
    assert ask(client, "/schema/openapi.json").status_code == 200


@pytest.mark.parametrize("path", ["/ready", "/health", "/docs", "/schema/openapi.json"])
def test_head_is_get_without_the_body(path: str) -> None:
    """Status, length and headers are those of GET, as monitors and wget want them."""
    client = made(Watcher())
    got, head = ask(client, path), ask(client, path, method="HEAD")
    assert (head.status_code, head.content) == (got.status_code, b"")
    same = ("content-length", "content-type", "x-content-type-options", "retry-after")
    assert {name: head.headers.get(name) for name in same} == {
        name: got.headers.get(name) for name in same
    }
    assert int(head.headers["content-length"]) == len(got.content)


def test_a_post_may_mean_another_method() -> None:
    """Only a POST, which the check of origins sees as what it is, and only where it is obeyed."""
    client, over = made(Watcher()), {"x-http-method-override": "delete"}
    assert ask(client, "/v1/take/it", method="POST", headers=over).text == "gone"
    assert ask(client, "/v1/take/it", method="POST").status_code == 405
    assert ask(client, "/v1/things/a", method="POST", headers=over).status_code == 405
    assert ask(client, "/v1/take/it", headers=over).status_code == 405
    strange = {"x-http-method-override": "CONNECT"}
    assert ask(client, "/v1/take/it", method="POST", headers=strange).status_code == 405
    foreign = {**over, "origin": "https://elsewhere.example"}
    assert ask(client, "/v1/take/it", method="POST", headers=foreign).status_code == 403


PART = st.text("abcdef0123456789", min_size=1, max_size=8)
PATH = st.lists(PART, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
PREFIX = st.one_of(st.just(""), PATH)


@given(PREFIX, PATH, PATH, st.booleans())
def test_a_client_arrives_below_any_prefix(prefix: str, base: str, path: str, slash: bool) -> None:
    """Resolved as browsers do, from an address with a slash at its end, too."""
    link = relative(path, base + "/" * slash)
    assert not link.startswith("/")
    asked = f"https://example{prefix}{base}{'/' * slash}"
    assert plain(urljoin(asked, link).removeprefix("https://example")) == prefix + path
