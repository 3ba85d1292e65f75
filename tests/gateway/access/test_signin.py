"""Access to the pages: without sign-in, with a key, and before the first key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.desk import Desk, desk
from gateway.library.texts import TALK
from gateway.serving import code, data
from glagol.gateway.access import sessions
from glagol.gateway.library import folders
from glagol.web.access.api_keys import Keyring

HTML = {"accept": "text/html"}
PAGE = {"sec-fetch-site": "same-origin"}
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def keys(**scopes: tuple[str, ...]) -> tuple[list[Keyring | None], dict[str, str]]:
    """A ring that a test may change, and the texts of its keys."""
    ring, texts = Keyring(), {}
    for name, given in scopes.items():
        ring, texts[name] = ring.add(name, created=NOW, scopes=given)
    return [ring], texts


def check(state: Path, ring: list[Keyring | None], test: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a test against a gateway."""

    async def run() -> None:
        async with desk(state, lambda: ring[0]) as one:
            await test(one)

    asyncio.run(run())


def test_without_keys_every_caller_here_reads_and_edits(tmp_path: Path) -> None:
    """There is no sign-in, and no person is named."""

    async def test(one: Desk) -> None:
        async with one.browser() as browser:
            assert (await browser.get("/", headers=HTML)).status_code == 200
            state = data(await browser.get("/ui/state"))
            assert (state["signin"], state["person"], state["admin"]) == ("none", "", True)

    check(tmp_path, [None], test)


def test_beyond_this_machine_all_are_refused_before_there_is_a_key(tmp_path: Path) -> None:
    """Not a page, not a recording; the answer says how an operator changes that."""

    async def run() -> None:
        async with desk(tmp_path, here=False) as one, one.browser() as browser:
            for path in ("/", "/ui/recordings", "/ui/state", "/v1/jobs"):
                answer = await browser.get(path, headers=HTML)
                assert code(answer) == "forbidden", path
                assert "glagol keys add" in answer.json()["error"]["remedy"]
            assert (await browser.get("/health")).status_code == 200
        async with desk(tmp_path, here=False, signin="none") as one, one.browser() as browser:
            assert (await browser.get("/ui/recordings")).status_code == 200

    asyncio.run(run())


def test_a_person_signs_in_by_a_form_and_out(tmp_path: Path) -> None:
    """A page leads to the form and back; the cookie is for this server's pages alone."""
    ring, texts = keys(olga=("transcribe", "jobs"))

    async def test(one: Desk) -> None:
        async with one.browser() as browser:
            led = await browser.get("/r/abc?q=1", headers=HTML)
            assert (led.status_code, led.headers["location"]) == (
                303,
                "/signin?next=/r/abc%3Fq%3D1",
            )
            assert code(await browser.get("/ui/recordings")) == "key_missing"
            assert (await browser.get("/signin", headers=HTML)).status_code == 200
            wrong = await browser.post("/ui/session", data={"key": "glagol_x"}, headers=PAGE)
            assert wrong.headers["location"] == "/signin?failed=1"
            form = {"key": texts["olga"], "next": "/r/abc"}
            answer = await browser.post("/ui/session", data=form, headers=PAGE)
            assert answer.headers["location"] == "/r/abc"
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith(f"{sessions.PLAIN}=")
            assert "HttpOnly; SameSite=Strict" in cookie
            assert texts["olga"] not in cookie
            assert data(await browser.get("/ui/state"))["person"] == "olga"
            await browser.post("/ui/session/end", headers=PAGE)
            assert code(await browser.get("/ui/recordings")) == "key_missing"
        stored = (tmp_path / "library/library.sqlite").read_bytes()
        token = cookie.partition("=")[2].partition(";")[0]
        assert token.encode() not in stored

    check(tmp_path, ring, test)


@pytest.mark.parametrize("way", ["//evil.example", "https://evil.example/", "/\\evil", "evil", ""])
def test_signing_in_leads_to_no_other_site(tmp_path: Path, way: str) -> None:
    """Whatever the link said, the person stays here."""
    ring, texts = keys(olga=("jobs",))

    async def test(one: Desk) -> None:
        async with one.browser() as browser:
            form = {"key": texts["olga"], "next": way}
            answer = await browser.post("/ui/session", data=form, headers=PAGE)
            assert answer.headers["location"] == "/"

    check(tmp_path, ring, test)


def test_under_tls_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    """`__Host-` and Secure."""
    ring, texts = keys(olga=("jobs",))

    async def test(one: Desk) -> None:
        async with one.browser("https") as browser:
            answer = await browser.post("/ui/session", json={"key": texts["olga"]}, headers=PAGE)
            assert answer.headers["set-cookie"].startswith("__Host-glagol=")
            assert answer.headers["set-cookie"].endswith("; Secure")

    check(tmp_path, ring, test)


def test_a_session_ends_with_its_key_and_with_time(tmp_path: Path) -> None:
    """A revoked key, and half a day without use."""
    ring, texts = keys(olga=("jobs",))

    async def test(one: Desk) -> None:
        async with one.browser() as browser:
            await signed_in(browser, texts["olga"])
            kept, ring[0] = ring[0], Keyring()
            assert code(await browser.get("/ui/recordings")) == "key_missing"
            ring[0] = kept
            assert (await browser.get("/ui/recordings")).status_code == 200
            one.gateway.service.sessions._clock = (
                datetime.now(UTC) + timedelta(hours=13)
            ).timestamp
            assert code(await browser.get("/ui/recordings")) == "key_missing"

    check(tmp_path, ring, test)


def test_a_change_by_cookie_must_come_from_a_page(tmp_path: Path) -> None:
    """A browser that says nothing of where a request comes from needs the header of our pages."""
    ring, texts = keys(olga=("jobs", "admin"))

    async def test(one: Desk) -> None:
        async with one.browser() as browser:
            await signed_in(browser, texts["olga"])
            new = {"name": "суд"}
            assert code(await browser.post("/ui/folders", json=new)) == "key_missing"
            foreign = {"sec-fetch-site": "cross-site"}
            refused = await browser.post("/ui/folders", json=new, headers=foreign)
            assert code(refused) == "origin_not_allowed"
            made = await browser.post("/ui/folders", json=new, headers={"x-glagol": "1"})
            assert made.status_code == 201

    check(tmp_path, ring, test)


def test_folders_are_read_and_edited_by_right(tmp_path: Path) -> None:
    """What is in a folder without a right does not exist: no recording, hit or event."""
    ring, texts = keys(olga=("jobs",), boss=("admin",))

    async def test(one: Desk) -> None:
        library = one.gateway.service.library
        number = folders.add(library.db, "тайна")
        secret = library.add(owner="boss", title="тайна", folder=number).id
        library.transcribed(secret, TALK)
        async with one.browser(**PAGE) as olga, one.browser(**PAGE) as boss:
            await signed_in(olga, texts["olga"])
            await signed_in(boss, texts["boss"])
            path = f"/ui/recordings/{secret}"
            assert code(await olga.get(path)) == "recording_unknown"
            assert code(await olga.get(f"{path}/text")) == "recording_unknown"
            assert code(await olga.get(f"{path}/export")) == "recording_unknown"
            assert data(await olga.get("/ui/recordings"))["recordings"] == []
            assert data(await olga.get("/ui/search?q=договора"))["recordings"] == []
            assert code(await olga.post("/ui/folders", json={"name": "х"})) == "forbidden"
            assert data(await boss.get("/ui/search?q=договора"))["recordings"]
            right = {"who": "olga", "may": "read"}
            await boss.put(f"/ui/folders/{number}/access", json=right)
            assert data(await olga.get(path))["title"] == "тайна"
            assert code(await olga.delete(path)) == "forbidden"
            edit = {"seen": 0, "operation": {"op": "set", "segment": 1, "text": "алло"}}
            assert code(await olga.post(f"{path}/edits", json=edit)) == "forbidden"
            await boss.put(f"/ui/folders/{number}/access", json={**right, "may": "edit"})
            made = data(await olga.post(f"{path}/edits", json=edit))
            assert made["by"] == "olga"

    check(tmp_path, ring, test)


async def signed_in(browser: httpx.AsyncClient, key: str) -> None:
    """Sign in with a key."""
    answer = await browser.post("/ui/session", json={"key": key}, headers=PAGE)
    assert answer.status_code == 200, answer.text
