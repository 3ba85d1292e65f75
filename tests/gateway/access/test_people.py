"""People who sign in: by name and password, by a proxy, at a provider of identities."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway.desk import Desk, desk
from gateway.serving import code, data
from glagol.core.errors import InputError
from glagol.gateway.access import sessions
from glagol.web.access.people import FILE, People, Person, Role, hashed
from glagol.web.serve import key_file

HTML = {"accept": "text/html"}
PAGE = {"sec-fetch-site": "same-origin"}
PASSWORD = "лошадь батарея скрепка"  # noqa: S105 - made up
SECRET = "secret-of-the-client"  # noqa: S105 - made up
SRT = "1\n00:00:01,000 --> 00:00:02,000\nслово\n".encode()


def known(state: Path, **roles: Role) -> None:
    """People with one password."""
    state.mkdir(exist_ok=True)
    stored, at = hashed(PASSWORD), datetime(2026, 11, 30, tzinfo=UTC)
    people = tuple(
        Person(name=name, role=role, password=stored, created=at) for name, role in roles.items()
    )
    (state / FILE).write_bytes(People(people=people).written())


@asynccontextmanager
async def gateway(state: Path, **settings: Any) -> AsyncIterator[Desk]:
    """A gateway whose people are those of the file."""
    async with desk(state, key_file(str(state)), **settings) as one:
        yield one


async def entered(browser: httpx.AsyncClient, name: str) -> None:
    """Sign in with the password."""
    given = {"name": name, "password": PASSWORD}
    assert data(await browser.post("/ui/session", json=given, headers=PAGE))["person"] == name


def test_a_password_opens_the_pages_and_a_role_says_what_for(tmp_path: Path) -> None:
    """A reader reads, an editor brings recordings, an administrator makes folders."""
    known(tmp_path, olga="editor", ivan="reader", anna="admin")

    async def run() -> None:
        async with gateway(tmp_path) as one, one.browser() as olga, one.browser() as ivan:
            assert 'name="password"' in (await olga.get("/signin", headers=HTML)).text
            assert code(await olga.get("/ui/recordings")) == "key_missing"
            await entered(olga, "olga")
            made = data(await olga.put("/ui/imports?title=x", content=SRT, headers=PAGE))
            await entered(ivan, "ivan")
            assert data(await ivan.get(f"/ui/recordings/{made['id']}"))["title"] == "x"
            change = await ivan.patch(
                f"/ui/recordings/{made['id']}", json={"title": "y"}, headers=PAGE
            )
            assert code(change) == "forbidden"
            for each in (olga, ivan):
                folder = await each.post("/ui/folders", json={"name": "ф"}, headers=PAGE)
                assert code(folder) == "forbidden"
            async with one.browser() as anna:
                await entered(anna, "anna")
                folder = await anna.post("/ui/folders", json={"name": "ф"}, headers=PAGE)
                assert folder.status_code == 201

    asyncio.run(run())


def test_a_wrong_password_is_refused_and_tries_are_counted(tmp_path: Path) -> None:
    """Like an unknown name; after ten tries of a name also the right one has to wait."""
    known(tmp_path, olga="editor")

    async def run() -> None:
        async with gateway(tmp_path) as one, one.browser() as browser:
            for name, password in (("olga", "лошадь"), ("unlisted", PASSWORD), ("olga", "")):
                given = {"name": name, "password": password}
                answer = await browser.post("/ui/session", json=given, headers=PAGE)
                assert code(answer) == "key_refused", name
            for _ in range(60):  # a slow machine gets some tries back meanwhile
                given = {"name": "olga", "password": "лошадь"}
                answer = await browser.post("/ui/session", json=given, headers=PAGE)
                if code(answer) == "rate_limited":
                    break
            else:
                pytest.fail("tries are not counted")

    asyncio.run(run())


def test_a_session_ends_with_the_persons_password_or_role(tmp_path: Path) -> None:
    """And programs cannot use what the file holds."""
    known(tmp_path, olga="editor")

    async def run() -> None:
        async with gateway(tmp_path) as one, one.browser() as browser:
            await entered(browser, "olga")
            stored = json.loads((tmp_path / FILE).read_text())["people"][0]["password"]
            assert PASSWORD not in stored
            assert stored.startswith("scrypt$32768$8$1$")
            program = {"authorization": f"Bearer {stored}"}
            assert code(await browser.get("/ui/recordings", headers=program)) == "key_refused"
            assert data(await browser.get("/ui/state"))["person"] == "olga"
        known(tmp_path, olga="editor")  # another salt: the password was given anew
        async with gateway(tmp_path) as one:
            token = browser.cookies[sessions.PLAIN]
            async with one.browser(cookie=f"{sessions.PLAIN}={token}") as again:
                assert code(await again.get("/ui/recordings")) == "key_missing"

    asyncio.run(run())


def test_only_a_trusted_proxy_names_people(tmp_path: Path) -> None:
    """From its address a listed person is in; from another one, twice, or unlisted: not."""
    known(tmp_path, olga="editor")
    named = {"x-remote-user": "olga"}

    async def run() -> None:
        settings = {"signin": "proxy", "proxies": "10.1.0.0/24"}
        async with gateway(tmp_path, **settings) as one:

            async def asked(client: str, headers: Any, method: str = "GET") -> httpx.Response:
                app: Any = one.app
                transport = httpx.ASGITransport(app, client=(client, 9))
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://localhost"
                ) as browser:
                    return await browser.request(method, "/ui/state", headers=headers)

            assert data(await asked("10.1.0.7", named))["person"] == "olga"
            assert data(await asked("::ffff:10.1.0.7", named))["person"] == "olga"
            refused = [
                ("10.2.0.7", named),
                ("10.1.0.7", {}),
                ("10.1.0.7", {"x-remote-user": "ivan"}),
                ("10.1.0.7", [("x-remote-user", "olga"), ("x-remote-user", "anna")]),
            ]
            for client, headers in refused:
                assert code(await asked(client, headers)) == "key_missing", (client, headers)
            page = await one.browser().get("/signin", headers=HTML)
            assert 'type="password"' not in page.text

    asyncio.run(run())
    with pytest.raises(InputError, match="trusts no address"):
        asyncio.run(gateway(tmp_path, signin="proxy").__aenter__())


@dataclass
class Issuer:
    """A provider of OpenID Connect: discovery, codes bound to PKCE, tokens.

    Attributes:
        url: Its address.
        claims: What the next token says instead of the truth.
        codes: That were given, with what they are bound to.
        stated: What discovery says instead of the truth.
    """

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, str]:
        """Discovery."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            **self.stated,
        }

    def authorize(self, query: dict[str, str]) -> str:
        """The person agrees at once; the way back."""
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        assert "openid" in query["scope"].split()
        given = secrets.token_urlsafe()
        self.codes[given] = query
        return f"{query['redirect_uri']}?code={given}&state={query['state']}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, str] | None:
        """A token for a code; None where client, code, address or verifier is wrong."""
        client = base64.b64encode(f"glagol:{SECRET}".encode()).decode()
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or authorization != f"Basic {client}"
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return None
        claims = {
            "iss": self.url,
            "aud": "glagol",
            "exp": time.time() + 300,
            "nonce": asked["nonce"],
            "preferred_username": "olga",
            **self.claims,
        }
        head, body = (part(each) for each in ({"alg": "HS256"}, claims))
        mac = hmac.digest(SECRET.encode(), f"{head}.{body}".encode(), "sha256")
        signature = base64.urlsafe_b64encode(mac).decode().rstrip("=")
        return {"token_type": "Bearer", "id_token": f"{head}.{body}.{signature}"}


def part(value: Any) -> str:
    """A part of a JSON Web Token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A provider that listens on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path.endswith("/openid-configuration"):
                self.reply(200, made.document())
            else:
                query = {name: some[0] for name, some in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("location", made.authorize(query))
                self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: some[0] for name, some in parse_qs(body).items()}
            found = made.token(form, self.headers.get("authorization", ""))
            self.reply(200 if found else 400, found or {"error": "invalid_grant"})

        def reply(self, status: int, value: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def provider(tmp_path: Path, issuer: Issuer) -> dict[str, str]:
    """Settings of a gateway whose people sign in at the provider."""
    (tmp_path / "secret").write_text(SECRET)
    return {
        "signin": "oidc",
        "oidc_issuer": issuer.url,
        "oidc_client": "glagol",
        "oidc_secret_file": str(tmp_path / "secret"),
    }


async def through(browser: httpx.AsyncClient, way: str = "/settings") -> httpx.Response:
    """Go to the provider and come back; the answer that leads on."""
    there = await browser.get("/ui/session/provider", params={"next": way})
    assert there.status_code == 303
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(there.headers["location"])).headers["location"]
    return await browser.get(back)


def test_a_person_signs_in_at_the_provider(tmp_path: Path, issuer: Issuer) -> None:
    """There and back: the session is this server's own; the same code works once."""
    known(tmp_path, olga="editor")

    async def run() -> None:
        settings = provider(tmp_path, issuer)
        async with gateway(tmp_path, **settings) as one, one.browser() as browser:
            assert "/ui/session/provider?next=" in (await browser.get("/signin", headers=HTML)).text
            back = await through(browser)
            assert 'url=/settings"' in back.text
            assert "SameSite=Strict" in back.headers["set-cookie"]
            assert data(await browser.get("/ui/state"))["person"] == "olga"
            again = await browser.get(back.request.url)
            assert "failed=1" in again.text
            given = {"name": "olga", "password": PASSWORD}
            answer = await browser.post("/ui/session", json=given, headers=PAGE)
            assert code(answer) == "key_refused"  # the provider is the only door

    asyncio.run(run())


@pytest.mark.parametrize(
    ("claims", "way"),
    [
        ({"iss": "https://evil.example"}, "failed=1"),
        ({"aud": "another"}, "failed=1"),
        ({"aud": ["glagol", "another"]}, "failed=1"),
        ({"exp": 1}, "failed=1"),
        ({"nonce": "old"}, "failed=1"),
        ({"preferred_username": ""}, "failed=1"),
        ({"preferred_username": "mallory"}, "unknown=1"),
    ],
)
def test_a_token_for_another_server_time_or_person_opens_nothing(
    tmp_path: Path, issuer: Issuer, claims: dict[str, Any], way: str
) -> None:
    """Issuer, audience, time and nonce are checked; unlisted people stay outside."""
    known(tmp_path, olga="editor")
    issuer.claims = claims

    async def run() -> None:
        async with gateway(tmp_path, **provider(tmp_path, issuer)) as one, one.browser() as browser:
            assert way in (await through(browser)).text
            assert code(await browser.get("/ui/recordings")) == "key_missing"

    asyncio.run(run())


def test_a_sign_in_that_another_browser_began_is_refused(tmp_path: Path, issuer: Issuer) -> None:
    """A link with the code of another browser opens no session (login CSRF)."""
    known(tmp_path, olga="editor")

    async def run() -> None:
        settings = provider(tmp_path, issuer)
        async with (
            gateway(tmp_path, **settings) as one,
            one.browser() as mine,
            one.browser() as other,
            httpx.AsyncClient() as outside,
        ):
            there = await mine.get("/ui/session/provider")
            back = (await outside.get(there.headers["location"])).headers["location"]
            assert "failed=1" in (await other.get(back)).text
            assert code(await other.get("/ui/recordings")) == "key_missing"

    asyncio.run(run())


@pytest.mark.parametrize(
    "stated",
    [
        {"token_endpoint": "http://provider.example/token"},
        {"authorization_endpoint": "http://provider.example/authorize"},
        {"issuer": "https://other.example"},
    ],
)
def test_addresses_of_the_provider_are_reached_by_tls_or_here(
    tmp_path: Path, issuer: Issuer, stated: dict[str, str]
) -> None:
    """A code, a secret and a token never go over an open line, whatever discovery says."""
    known(tmp_path, olga="editor")
    issuer.stated = stated

    async def run() -> None:
        async with gateway(tmp_path, **provider(tmp_path, issuer)) as one, one.browser() as browser:
            answer = await browser.get("/ui/session/provider")
            assert code(answer) == "upstream_unreachable"

    asyncio.run(run())
