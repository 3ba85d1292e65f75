"""Search by meaning behind the pages: a real rag-server receives every change, and only once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from embed import made
from gateway.desk import AWAY, Desk, desk
from gateway.serving import code, data
from glagol.core.errors import HostError
from glagol.gateway.library import folders
from glagol.gateway.work import outbox
from glagol.gateway.work.search import Indexer
from glagol.web import sse
from glagol.web.access.api_keys import Keyring

HTML = {"accept": "text/html", "accept-language": "ru"}
SAID = "Бюджет на бегемота утвердили в марте"
SRT = f"1\n00:00:12,500 --> 00:00:15,000\n{SAID}\n\n2\n00:01:00,000 --> 00:01:02,000\nдо встречи\n"
Test = Callable[[Desk, Indexer, httpx.AsyncClient], Awaitable[None]]


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[made.Server, Path]]:
    """rag-server with a made-up encoder, and its directory."""
    folder = tmp_path_factory.mktemp("rag")
    running = made.start(made.make_home(tmp_path_factory.mktemp("home")), folder, program="rag")
    yield running, folder
    assert running.stop() == 0, running.log.read_text()


def check(state: Path, url: str, test: Test, ring: Keyring | None = None, **headers: str) -> None:
    """Run a test against a gateway over `state`, in front of rag-server at `url`."""

    async def run() -> None:
        async with (
            desk(state, lambda: ring, services={"rag": url}) as one,
            one.browser(**headers) as browser,
        ):
            service = one.gateway.service
            assert service.search is not None
            await service.services.look()
            await test(
                one, Indexer(service.library, service.search, service.executors.disk), browser
            )

    asyncio.run(run())


async def brought(browser: httpx.AsyncClient, title: str, text: str = SRT) -> str:
    """A text in the library; its id."""
    put = await browser.put("/ui/imports", params={"title": title}, content=text.encode())
    return str(data(put)["id"])


async def found(browser: httpx.AsyncClient, query: str = "бегемот") -> list[dict[str, Any]]:
    """Hits of the programs' route."""
    hits: list[dict[str, Any]] = data(await browser.post("/v1/search", json={"query": query}))[
        "hits"
    ]
    return [hit for hit in hits if hit["found_by"]["words"]]


def test_every_change_reaches_search(rag: tuple[made.Server, Path], tmp_path: Path) -> None:
    """Stored, edited, renamed, moved, deleted; and no file keeps a byte of what was deleted."""
    server, files = rag

    async def test(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        library = one.gateway.service.library
        identity = await brought(browser, "Планёрка")
        assert outbox.count(library.db) == 1
        await indexer.turn()
        assert outbox.count(library.db) == 0
        (hit,) = await found(browser)
        assert (hit["recording"], hit["title"], hit["start"]) == (identity, "Планёрка", 12.5)
        edit = {"seen": 0, "operation": {"op": "set", "segment": 1, "text": "Смета на носорога"}}
        data(await browser.post(f"/ui/recordings/{identity}/edits", json=edit))
        name = {"seen": 1, "operation": {"op": "name", "speaker": "", "name": "Белова"}}
        data(await browser.post(f"/ui/recordings/{identity}/edits", json=name))
        await browser.patch(f"/ui/recordings/{identity}", json={"title": "Смета"})
        folder = folders.add(library.db, "Сметы")
        library.move(identity, folder)
        assert outbox.changes(library.db)[0].number > 1
        await indexer.turn()
        assert await found(browser) == []
        (hit,) = await found(browser, "носорог")
        assert (hit["title"], hit["speaker"], hit["text"]) == (
            "Смета",
            "Белова",
            "Смета на носорога",
        )
        assert any("носорога".encode() in each for each in bodies(files))
        (await browser.delete(f"/ui/recordings/{identity}")).raise_for_status()
        await indexer.turn()
        assert await found(browser, "носорог") == []
        for word in ("бегемот", "носорог", "Белова"):
            for place in (files, tmp_path):
                assert not any(word.encode() in each for each in bodies(place)), (word, place)

    check(tmp_path, server.url, test)


def bodies(folder: Path) -> Iterator[bytes]:
    """The bytes of every file."""
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_changes_wait_for_a_server_that_is_away(
    rag: tuple[made.Server, Path], tmp_path: Path
) -> None:
    """What was stored while rag-server was away, and before the gateway ended, is found later.

    An index that has lost a recording gets it again; a deletion that it missed, too.
    """
    server, _ = rag

    async def away(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        await brought(browser, "Первая")
        with pytest.raises(HostError) as error:
            await indexer.turn()
        assert error.value.code == "upstream_unreachable"
        assert outbox.count(one.gateway.service.library.db) == 1
        assert code(await browser.post("/v1/search", json={"query": "а"})) == "upstream_unreachable"
        page = await browser.get("/ask", params={"q": "бегемот"}, headers=HTML)
        assert "не отвечает" in page.text
        assert 'href="/ask"' not in page.text

    async def back(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        with server.client() as direct:
            orphan = {"transcript": {"segments": [{"text": "бегемот-сирота", "end": 1}]}}
            direct.put("/v1/recordings/orphan", json=orphan).raise_for_status()
        await indexer.turn()
        (hit,) = await found(browser)
        with server.client() as direct:
            direct.delete(f"/v1/recordings/{hit['recording']}").raise_for_status()
        service = one.gateway.service
        assert service.search is not None
        await Indexer(service.library, service.search, service.executors.disk).turn()
        assert [each["recording"] for each in await found(browser)] == [hit["recording"]]
        (await browser.delete(f"/ui/recordings/{hit['recording']}")).raise_for_status()
        await indexer.turn()

    check(tmp_path, AWAY, away)
    check(tmp_path, server.url, back)


def test_a_change_on_the_way_is_given_next(tmp_path: Path) -> None:
    """A row stays when the recording changed after search had been given it."""

    async def test(one: Desk, _: Indexer, browser: httpx.AsyncClient) -> None:
        library = one.gateway.service.library
        identity = await brought(browser, "Первая")
        (before,) = outbox.changes(library.db)
        library.rename(identity, "Вторая")
        outbox.taken(library.db, before)
        (after,) = outbox.changes(library.db)
        assert after.number > before.number
        outbox.taken(library.db, after)
        assert outbox.changes(library.db) == []

    check(tmp_path, AWAY, test)


def test_people_are_answered_from_what_they_may_read(
    rag: tuple[made.Server, Path], tmp_path: Path
) -> None:
    """Two people, one folder of one of them: pages, routes, narrowed queries; the moment counts."""
    server, _ = rag
    ring, keys = Keyring(), {}
    for name in ("ann", "bob"):
        ring, keys[name] = ring.add(
            name,
            created=datetime(2026, 11, 30, tzinfo=UTC),
            scopes=("admin",) if name == "ann" else ("jobs", "search"),
        )

    async def test(one: Desk, indexer: Indexer, ann: httpx.AsyncClient) -> None:
        library = one.gateway.service.library
        folder = folders.add(library.db, "Тайное")
        identity = await brought(ann, "Тайна")
        library.move(identity, folder)
        await indexer.turn()
        assert len(await found(ann)) == 1
        async with one.browser(authorization=f"Bearer {keys['bob']}") as bob:
            for wish in ({}, {"folders": [str(folder)]}, {"recordings": [identity]}):
                body = {"query": "бегемот", **wish}
                assert data(await bob.post("/v1/search", json=body))["hits"] == []
                assert data(await bob.post("/v1/ask", json=body))["hits"] == []
            folders.grant(library.db, folder, "bob", "read")
            assert len(await found(bob)) == 1
            page = await bob.get("/ask", params={"q": "бегемот"}, headers=HTML)
            assert SAID in page.text
            library.move(identity, folders.add(library.db, "Иное"))
            assert (
                code(await bob.post("/v1/search", json={"query": "бегемот"}))
                == "upstream_unreachable"
            )
            page = await bob.get("/ask", params={"q": "бегемот"}, headers=HTML)
            assert "бегемота" not in page.text
            assert "В записях этого нет." in page.text
            await indexer.turn()
            assert await found(bob) == []
        library.delete(identity, who="ann", why="")
        await indexer.turn()

    check(tmp_path, server.url, test, ring, authorization=f"Bearer {keys['ann']}")


def test_programs_get_an_answer_as_events(rag: tuple[made.Server, Path], tmp_path: Path) -> None:
    """By the body or by the header, in the order of rag-server; refusals and stale hits come first.

    Without rag-server the answer is an error of HTTP and no stream.
    """
    server, _ = rag

    async def events(browser: httpx.AsyncClient, wish: Any, **headers: str) -> list[sse.Event]:
        answer = await browser.post("/v1/ask", json=wish, headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        return sse.Reader().feed(answer.content)

    async def test(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        library = one.gateway.service.library
        identity = await brought(browser, "Планёрка")
        await indexer.turn()
        wish = {"query": "бегемот", "stream": True}
        shown = await events(browser, wish)
        assert [each.name for each in shown][:2] == ["hits", "sentence"]
        assert shown[-1].name == "done"
        assert identity.encode() in shown[0].data
        assert SAID.encode() in shown[1].data
        assert shown == await events(browser, {"query": "бегемот"}, accept="text/event-stream")
        (nothing, *_) = await events(browser, {**wish, "folders": []})
        assert nothing.data == b"[]"
        assert code(await browser.post("/v1/ask", json={**wish, "query": ""})) == "text_empty"
        library.delete(identity, who="", why="")
        assert code(await browser.post("/v1/ask", json=wish)) == "upstream_unreachable"
        await indexer.turn()

    async def away(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        wish = {"query": "бегемот", "stream": True}
        assert code(await browser.post("/v1/ask", json=wish)) == "upstream_unreachable"

    check(tmp_path, server.url, test)
    check(tmp_path, AWAY, away)


def test_the_page_answers_with_the_librarys_text(
    rag: tuple[made.Server, Path], tmp_path: Path
) -> None:
    """Quotes lead to their second; the list of pages and the search name it; empty says so."""
    server, _ = rag

    async def test(one: Desk, indexer: Indexer, browser: httpx.AsyncClient) -> None:
        empty = await browser.get("/ask", params={"q": "бегемот"}, headers=HTML)
        assert "В записях этого нет." in empty.text
        identity = await brought(browser, "<b>Планёрка")
        await indexer.turn()
        page = (await browser.get("/ask", params={"q": "бюджет бегемота"}, headers=HTML)).text
        assert f'href="/r/{identity}#t=12.5"' in page
        assert SAID in page
        assert "&lt;b&gt;Планёрка" in page
        assert "<b>Планёрка" not in page
        assert 'href="/ask" aria-current="page"' in page
        assert not re.search(r"<script(?![^>]*src=)[^>]*>|style=|onerror", page)
        search = (await browser.get("/search", params={"q": "бегемот"}, headers=HTML)).text
        assert "По смыслу" in search
        english = await browser.get("/ask", headers={"accept": "text/html"})
        assert "Ask the recordings" in english.text
        assert code(await browser.post("/v1/ask", content=b"[")) == "request_invalid"
        one.gateway.service.library.delete(identity, who="", why="")
        await indexer.turn()

    check(tmp_path, server.url, test)
