"""Access control: keys, scopes, limits and open paths, through the layers of a real request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from glagol.core.errors import CODES
from glagol.web.access.api_keys import Keyring, Scope
from glagol.web.access.auth import Access, PathRules, caller_of
from glagol.web.access.policy import Limits, Metrics, Policy
from glagol.web.errors import Speaker
from glagol.web.request_log import Observed

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULES = PathRules(
    open=frozenset({"/health", "/ready"}),
    local={"/metrics": "metrics"},
    scopes=(("/v1/jobs", "jobs"), ("/v1/", "transcribe")),
)


class NoWatcher:
    """A watcher that does not count."""

    def began(self) -> None:
        """Nothing."""

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """Nothing."""


class House:
    """A small application behind the layers; `calls` says what it saw."""

    def __init__(self) -> None:
        self.keys: Keyring | None = Keyring()
        self.policy = Policy()
        self.now = NOW
        self.clock_s = 0.0
        self.calls: list[dict[str, Any]] = []
        self.hold: asyncio.Event | None = None
        speaker = Speaker(("/v1/audio/",), lambda: 1)
        access = Access(
            self._app,
            RULES,
            lambda: self.keys,
            lambda: self.policy,
            speaker,
            clock=lambda: self.clock_s,
            now=lambda: self.now,
        )
        self.app = Observed(access, NoWatcher(), {"/health"})

    async def _app(self, scope: Any, _receive: Any, send: Any) -> None:
        caller = caller_of(scope)
        note = scope["state"]["note"]
        self.calls.append({"name": caller.name, "admin": caller.admin, "key": note.get("key")})
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    def key(self, name: str = "alice", *scopes: Scope, **rest: Any) -> str:
        """A new key's text."""
        assert self.keys is not None
        scopes = scopes or ("transcribe", "jobs")
        self.keys, text = self.keys.add(name, created=NOW, scopes=scopes, **rest)
        return text

    async def ask(
        self, path: str, key: str = "", client: str = "192.0.2.7", **headers: str
    ) -> httpx.Response:
        """One request."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            given["authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(self.app, client=(client, 5))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as session:
            return await session.post(f"http://x{path}", headers=given, content=b"body")

    def get(self, path: str, key: str = "", client: str = "192.0.2.7", **headers: str) -> Any:
        """One request, waited for."""
        return asyncio.run(self.ask(path, key, client, **headers))


@pytest.fixture
def house() -> House:
    """With keys on, and none in the ring."""
    return House()


def code(answer: httpx.Response) -> str:
    """Of an error in the envelope, with the status that belongs to it."""
    error = msgspec.json.decode(answer.content)["error"]
    assert answer.status_code == CODES[error["code"]].http_status
    assert error["request_id"] == answer.headers["x-request-id"]
    return str(error["code"])


def test_without_a_key_nothing_is_answered(house: House) -> None:
    """And the application does not even begin; the answer says which scheme is wanted."""
    for path in ("/v1/transcribe", "/v1/jobs/1", "/", "/anything", "/metrics", "/health/x"):
        answer = house.get(path)
        assert code(answer) == "key_missing"
        assert answer.headers["www-authenticate"] == 'Bearer realm="glagol"'
    assert not house.calls


def test_every_answer_carries_the_headers(house: House) -> None:
    """A refusal too: nothing is sniffed, framed, cached, referred to or embedded elsewhere."""
    for path in ("/health", "/v1/transcribe"):
        headers = house.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"


def test_open_doors_stay_open(house: House) -> None:
    """An orchestrator needs no key; a path with an extra slash is the same path."""
    for path in ("/health", "/ready", "/health/", "//ready"):
        assert house.get(path).status_code == 200


def test_a_key_opens_and_is_known_inside(house: House) -> None:
    """Jobs belong to its name."""
    key = house.key("alice")
    assert house.get("/v1/transcribe", key).status_code == 200
    assert house.get("/v1/jobs", house.key("root", "admin")).status_code == 200
    assert house.calls == [
        {"name": "alice", "admin": False, "key": "alice"},
        {"name": "root", "admin": True, "key": "root"},
    ]


def test_wrong_keys_are_refused(house: House) -> None:
    """Unknown, expired, revoked: one answer, which does not say which."""
    key = house.key("alice", expires=NOW + timedelta(days=1))
    assert house.get("/v1/transcribe", key).status_code == 200
    answers = [house.get("/v1/transcribe", key + "x")]
    house.now = NOW + timedelta(days=2)
    answers.append(house.get("/v1/transcribe", key))
    house.now = NOW
    assert house.keys is not None
    house.keys = house.keys.without("alice")
    answers.append(house.get("/v1/transcribe", key))
    assert [code(answer) for answer in answers] == ["key_refused"] * 3
    assert len({msgspec.json.decode(a.content)["error"]["message"] for a in answers}) == 1
    assert 'error="invalid_token"' in answers[0].headers["www-authenticate"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWxpY2U6eA==", "glagol_x", "bearer\tx", "Токен"]
)
def test_other_headers_are_no_key(house: House, header: str) -> None:
    """Whatever they are, nothing breaks."""
    transport = httpx.ASGITransport(house.app)  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as session:
            headers = [(b"authorization", header.encode())]
            return await session.get("/v1/transcribe", headers=headers)

    assert code(asyncio.run(ask())) == "key_missing"


def test_a_scope_is_needed_for_its_routes(house: House) -> None:
    """However the path is written."""
    key = house.key("alice", "transcribe")
    assert house.get("/v1/transcribe", key).status_code == 200
    for path in ("/v1/jobs", "/v1/jobs/7/result", "//v1/jobs", "/v1//jobs/", "/v1/%6Aobs"):
        answer = house.get(path, key)
        assert code(answer) == "forbidden"
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_metrics_need_a_key(house: House) -> None:
    """From this machine too: a proxy that says nothing about itself looks like the machine.

    nginx's plain `proxy_pass http://127.0.0.1:8080` sends that address as Host and no header of
    its own, so a request of the whole world would be one of this machine.
    """
    for client in ("127.0.0.1", "::1", "192.0.2.7"):
        answer = house.get("/metrics", client=client, host="127.0.0.1:8080", connection="close")
        assert code(answer) == "key_missing"
    assert code(house.get("/metrics", house.key("alice"))) == "forbidden"
    assert house.get("/metrics", house.key("prometheus", "metrics")).status_code == 200


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, 200),
        ("::1", {"host": "localhost"}, 200),
        ("::ffff:127.0.0.1", {"host": "[::1]:8080"}, 200),
        ("192.0.2.7", {"host": "127.0.0.1:8080"}, 401),
        ("127.0.0.1", {"host": "asr.example"}, 401),
        ("127.0.0.1", {"host": "192.168.1.5:8080"}, 401),
        ("127.0.0.1", {"host": ""}, 401),
        *(
            ("127.0.0.1", {"host": "localhost", header: "x"}, 401)
            for header in ("x-forwarded-for", "x-forwarded-proto", "forwarded", "via", "x-real-ip")
        ),
    ],
)
def test_an_operator_may_open_metrics_to_this_machine(
    house: House, client: str, headers: dict[str, str], status: int
) -> None:
    """By policy.toml; what comes from elsewhere, by a name, or by a proxy still needs a key."""
    house.policy = Policy(metrics=Metrics(without_key=True))
    assert house.get("/metrics", client=client, **headers).status_code == status
    assert house.get("/v1/jobs", client=client, **headers).status_code == 401


def test_a_key_has_its_rate(house: House) -> None:
    """Its own, or the policy's; the refusal says when to come back, and then it is true."""
    fast, slow = house.key("fast", rate_per_minute=0), house.key("slow")
    house.policy = Policy(limits=Limits(rate_per_minute=2))
    assert [house.get("/v1/transcribe", slow).status_code for _ in range(3)] == [200, 200, 429]
    answer = house.get("/v1/transcribe", slow)
    assert code(answer) == "rate_limited"
    assert all(house.get("/v1/transcribe", fast).status_code == 200 for _ in range(5))
    house.clock_s += float(answer.headers["retry-after"])
    assert house.get("/v1/transcribe", slow).status_code == 200


def test_a_key_has_its_number_at_one_time(house: House) -> None:
    """The one too many is refused while the others run, and not afterwards."""
    key = house.key("alice", concurrent=2)

    async def run() -> list[int]:
        house.hold = asyncio.Event()
        first = [asyncio.create_task(house.ask("/v1/transcribe", key)) for _ in range(2)]
        while len(house.calls) < 2:
            await asyncio.sleep(0.001)
        refused = await house.ask("/v1/transcribe", key)
        assert code(refused) == "rate_limited"
        assert refused.headers["retry-after"] == "1"
        house.hold.set()
        statuses = [(await task).status_code for task in first]
        return [*statuses, (await house.ask("/v1/transcribe", key)).status_code]

    assert asyncio.run(run()) == [200, 200, 200]


def test_a_request_that_fails_gives_its_place_back(house: House) -> None:
    """The application raising is no reason to lock its caller out."""
    key = house.key("alice", concurrent=1)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug")

    house.app._app._app = broken  # type: ignore[attr-defined]
    for _ in range(3):
        with pytest.raises(RuntimeError):
            house.get("/v1/transcribe", key)


def test_without_keys_every_caller_may_and_an_address_has_its_rate(house: House) -> None:
    """Off by default; health is never counted; an IPv6 network is one client."""
    house.keys = None
    assert house.get("/v1/jobs").status_code == 200
    assert house.calls[-1] == {"name": "", "admin": True, "key": None}
    house.policy = Policy(limits=Limits(client_rate_per_minute=1))
    assert house.get("/v1/jobs", client="2001:db8::1").status_code == 200
    assert code(house.get("/v1/jobs", client="2001:db8::2")) == "rate_limited"
    assert house.get("/v1/jobs", client="2001:db8:0:1::2").status_code == 200
    assert all(house.get("/health", client="2001:db8::1").status_code == 200 for _ in range(3))


def test_openai_routes_speak_openai(house: House) -> None:
    """So that their clients raise their own errors."""
    answer = house.get("/v1/audio/transcriptions")
    assert answer.status_code == 401
    assert msgspec.json.decode(answer.content)["error"]["code"] == "key_missing"
    assert msgspec.json.decode(answer.content)["error"]["type"] == "invalid_request_error"


def test_a_websocket_needs_a_key_too(house: House) -> None:
    """Refused before it is accepted; the client sees a failed handshake."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read from a stranger")

    scope = {"type": "websocket", "path": "/v1/stream", "headers": [], "client": ("192.0.2.7", 1)}
    asyncio.run(house.app(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert not house.calls


def test_a_websocket_may_hold_its_key_in_a_subprotocol(house: House) -> None:
    """Browsers cannot set headers; the header counts where there is one."""
    text = house.key()

    def status(protocols: list[str], headers: list[tuple[bytes, bytes]]) -> str:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        scope = {
            "type": "websocket", "path": "/v1/stream", "headers": headers,
            "subprotocols": protocols, "client": ("127.0.0.1", 1),
        }  # fmt: skip
        asyncio.run(house.app(scope, receive, send))
        return "refused" if sent[0]["type"] == "websocket.close" else "served"

    assert status([], []) == "refused"
    assert status(["glagol", "glagol.key.wrong"], []) == "refused"
    assert status(["glagol", f"glagol.key.{text}"], []) == "served"
    assert status([], [(b"authorization", f"Bearer {text}".encode())]) == "served"
    assert status([f"glagol.key.{text}"], [(b"authorization", b"Bearer wrong")]) == "refused"
