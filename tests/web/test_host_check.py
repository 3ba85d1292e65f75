"""Which hosts and which pages a server answers to: the table of rules, and random names."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Sequence
from typing import Any, Final

import pytest

from glagol.asr.settings import Settings as AsrSettings
from glagol.core.errors import InputError
from glagol.core.hosts import Host, Pattern
from glagol.llm.settings import Settings as LlmSettings
from glagol.web.access.host_check import HostCheck, Rules
from glagol.web.errors import Speaker

OWN: Final = "127.0.0.1:8080"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - nothing listens here
LOOPBACK: Final = re.compile(r"127(\.(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])){3}")
Headers = Sequence[tuple[str, str]]


def ask(
    headers: Headers,
    path: str = "/v1/jobs",
    *,
    method: str = "GET",
    kind: str = "http",
    servers: type[AsrSettings | LlmSettings] = AsrSettings,
    **given: str,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and error code of one request; 200 and no code when it goes through."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        start = "http.response.start" if scope["type"] == "http" else "websocket.accept"
        await send({"type": start, "status": 200, "headers": [(b"x-inside", b"1")]})

    names = {f"{servers.PREFIX}{name.upper()}": value for name, value in given.items()}
    rules = Rules.of(servers.from_environment(names))
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "state": {"note": {"request_id": "r"}},
    }
    if kind == "http":
        scope["method"] = method

    async def receive() -> Any:
        raise AssertionError("the body was read")

    asyncio.run(HostCheck(app, rules, Speaker(("/v1/audio/",), lambda: 1))(scope, receive, send))
    found = {k.decode(): v.decode() for k, v in sent[0].get("headers", ())}
    if sent[0]["type"] == "websocket.close":
        return 403, found, sent[0]["reason"]
    body = sent[1]["body"] if len(sent) > 1 else b""
    error = json.loads(body)["error"] if body else {}
    return sent[0].get("status", 101), found, error.get("code", "")


HOSTS: Final = [
    # what a loopback server is asked by
    ("127.0.0.1", {}, True),
    ("127.0.0.1:8080", {}, True),
    ("127.9.9.9:1", {}, True),
    ("localhost", {}, True),
    ("LocalHost:9999", {}, True),
    ("localhost.", {}, True),
    ("glagol.localhost:8080", {}, True),
    ("[::1]:8080", {}, True),
    ("[::ffff:127.0.0.1]", {}, True),
    # names of pages elsewhere, and what only looks like ours
    ("attacker.example", {}, False),
    ("attacker.example:8080", {}, False),
    ("127.0.0.1.attacker.example:8080", {}, False),
    ("127.0.0.1.nip.io", {}, False),
    ("localhost.attacker.example", {}, False),
    ("notlocalhost", {}, False),
    ("localhost..", {}, False),
    (".localhost", {}, False),
    ("localhost@attacker.example", {}, False),
    ("attacker.example@localhost", {}, False),
    ("attacker.example#@localhost", {}, False),
    ("127.0.0.1, attacker.example", {}, False),
    ("http://127.0.0.1", {}, False),
    ("127.0.0.1/x", {}, False),
    ("127.0.0.1:8080:8080", {}, False),
    ("127.0.0.1:", {}, False),
    ("127.0.0.1:99999", {}, False),
    ("127.1", {}, False),
    ("2130706433", {}, False),
    ("0x7f000001", {}, False),
    ("[::1%25eth0]", {}, False),
    ("[::1", {}, False),
    ("::1", {}, False),
    ("", {}, False),
    ("xn--80ak6aa92e.com", {}, False),
    ("l\u00f6calhost", {}, False),
    # addresses: only where the server listens beyond its machine
    ("192.168.1.5:8080", {}, False),
    ("[2001:db8::5]:8080", {}, False),
    ("0.0.0.0:8080", {}, False),
    ("192.168.1.5:8080", {"host": EVERYWHERE}, True),
    ("[2001:db8::5]:8080", {"host": "::"}, True),
    ("203.0.113.7", {"host": "192.168.1.5"}, True),
    ("attacker.example:8080", {"host": EVERYWHERE}, False),
    ("127.0.0.1.attacker.example", {"host": EVERYWHERE}, False),
    ("[fe80::1%eth0]", {"host": "::"}, False),
    ("[fe80::1]", {"host": "fe80::1%eth0"}, True),
    # the bound name or address itself
    ("192.168.1.5", {"host": "192.168.1.5"}, True),
    ("asr.lan:8080", {"host": "asr.lan"}, True),
    ("other.lan:8080", {"host": "asr.lan"}, False),
    # the setting
    ("asr.example", {"hosts": "asr.example"}, True),
    ("ASR.Example.:8443", {"hosts": "asr.example"}, True),
    ("asr-server:8080", {"hosts": "asr-server,"}, True),
    ("b.example", {"hosts": "asr.example, B.example"}, True),
    ("sub.asr.example", {"hosts": "asr.example"}, False),
    ("asr.example:8080", {"hosts": "asr.example:8080"}, True),
    ("asr.example:8081", {"hosts": "asr.example:8080"}, False),
    ("asr.example", {"hosts": "asr.example:8080"}, False),
    ("asr.example", {"hosts": "asr.example:443"}, True),
    ("a.example", {"hosts": "*.example"}, True),
    ("a.b.example", {"hosts": "*.example"}, True),
    ("example", {"hosts": "*.example"}, False),
    ("badexample", {"hosts": "*.example"}, False),
    ("a.example:1", {"hosts": "*.example:2"}, False),
    ("192.168.1.5", {"hosts": "192.168.1.5"}, True),
    ("xn--e1aybc.xn--p1ai", {"hosts": "тест.рф"}, True),
    ("x.xn--e1aybc.xn--p1ai:9", {"hosts": "*.тест.рф:9"}, True),
    ("attacker.example", {"hosts": "*"}, True),
    ("attacker.example", {"hosts": "asr.lan,*"}, True),
]


@pytest.mark.parametrize(("host", "given", "served"), HOSTS)
def test_the_table_of_hosts(host: str, given: dict[str, Any], served: bool) -> None:
    """Each is served or refused with 421, by both servers and on a WebSocket alike."""
    expected = (200, "") if served else (421, "host_not_allowed")
    for servers in (AsrSettings, LlmSettings):
        status, _, code = ask([("host", host)], servers=servers, **given)
        assert (status, code) == expected
    _, found, code = ask([("Host", host)], kind="websocket", **given)
    assert (code, "x-inside" in found) == ("" if served else "host_not_allowed", served)


@pytest.mark.parametrize("headers", [[], [("host", OWN), ("host", OWN)], [("Host", "a b")]])
def test_one_host_is_needed(headers: Headers) -> None:
    """None (HTTP/1.0), two equal ones and nonsense are refused, but for the probes' paths."""
    assert ask(headers)[2] == "host_not_allowed"
    for path in ("/health", "/ready", "//health/"):
        assert ask(headers, path)[0] == 200
    assert ask([("host", "attacker.example")], "/health/x")[2] == "host_not_allowed"


def test_the_refusal_names_the_host_and_the_setting() -> None:
    """In the envelope: what was asked for, shortened, and which variable admits it."""
    wrong: list[InputError] = []
    for settings in (AsrSettings(), LlmSettings()):
        check = HostCheck(lambda *_: asyncio.sleep(0), Rules.of(settings), Speaker((), lambda: 1))
        scope = {"path": "/", "headers": [(b"host", b"attacker.example" + b"x" * 999)]}
        error = check._wrong_host(scope)
        assert error is not None
        wrong.append(error)
    assert "'attacker.example" in wrong[0].message
    assert len(wrong[0].message) < 200
    assert "ASR_HOSTS" in wrong[0].remedy
    assert "LLM_HOSTS" in wrong[1].remedy


def test_random_names_never_pass() -> None:
    """10,000 hosts near the listed ones pass only if equal to one or below the wildcard."""
    draw = random.Random(7)  # noqa: S311 - the same names each time
    rules = Rules("ASR_", (Pattern.parse("asr.example"), Pattern.parse("*.lan:8080")))
    alphabet = "asr.exmplne-localhost127:[]@%*8080 "
    passed = 0
    for _ in range(10_000):
        text = draw.choice(["asr.example", "a.lan:8080", "localhost", "127.0.0.1", "[::1]:1"])
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(text) + 1)
            text = text[:at] + draw.choice(alphabet) + text[at + draw.randrange(2) :]
        try:
            host = Host.parse(text)
        except ValueError:
            continue
        name, port = host.name, host.port
        allowed = (
            name in {"asr.example", "localhost", "::1"}
            or name.endswith(".localhost")
            or (name.endswith(".lan") and port == 8080)
            or LOOPBACK.fullmatch(name) is not None
        )
        assert rules.admits(host) == allowed, text
        passed += allowed
    assert passed > 1000


PAGES: Final = [
    # (headers beside Host, Host, setting of origins, whether a POST is served)
    ([], OWN, "", True),
    ([("sec-fetch-site", "same-origin")], OWN, "", True),
    ([("sec-fetch-site", "none")], OWN, "", True),
    ([("sec-fetch-site", "cross-site")], OWN, "", False),
    ([("sec-fetch-site", "same-site")], OWN, "", False),
    ([("sec-fetch-site", "nonsense")], OWN, "", False),
    ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], OWN, "", False),
    ([("origin", f"http://{OWN}")], OWN, "", True),
    ([("origin", f"https://{OWN}")], OWN, "", True),
    ([("origin", f"http://{OWN}"), ("sec-fetch-site", "cross-site")], OWN, "", False),
    ([("origin", "http://127.0.0.1:8081")], OWN, "", False),
    ([("origin", "http://localhost:8080")], OWN, "", False),
    ([("origin", "https://evil.example")], OWN, "", False),
    ([("origin", "null")], OWN, "", False),
    ([("origin", "")], OWN, "", False),
    ([("origin", f"http://x@{OWN}")], OWN, "", False),
    ([("origin", f"http://{OWN}"), ("origin", "https://evil.example")], OWN, "", False),
    ([("origin", "http://localhost")], "localhost", "", True),
    ([("origin", "http://localhost")], "localhost:80", "", True),
    ([("origin", "https://localhost")], "localhost", "", True),
    ([("origin", "https://localhost:444")], "localhost", "", False),
    # a proxy that hides the host: the browser's own word is enough
    ([("origin", "https://asr.example"), ("sec-fetch-site", "same-origin")], OWN, "", True),
    # what a page of ours without a referrer sends with a form
    ([("origin", "null"), ("sec-fetch-site", "same-origin")], OWN, "", True),
    ([("origin", "https://app.example")], OWN, "https://app.example", True),
    (
        [("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        OWN,
        "https://APP.example:443/, http://b:1",
        True,
    ),
    ([("origin", "http://app.example")], OWN, "https://app.example", False),
    ([("origin", "https://app.example:8443")], OWN, "https://app.example", False),
    ([("origin", "https://app.example.evil")], OWN, "https://app.example", False),
    ([("sec-fetch-site", "cross-site")], OWN, "https://app.example", False),
]


@pytest.mark.parametrize(("headers", "host", "origins", "served"), PAGES)
def test_the_table_of_pages(headers: Headers, host: str, origins: str, served: bool) -> None:
    """Of a POST, a DELETE and a WebSocket; a GET is served, and its answer kept from the page."""
    headers = [("host", host), *headers]
    for method in ("POST", "PUT", "PATCH", "DELETE", "FOO"):
        status, _, code = ask(headers, method=method, origins=origins)
        assert (status, code) == ((200, "") if served else (403, "origin_not_allowed"))
    assert (ask(headers, kind="websocket", origins=origins)[2] == "") == served
    status, found, _ = ask(headers, origins=origins)
    assert status == 200
    assert ("access-control-allow-origin" in found) == (bool(origins) and served)


def test_a_listed_page_gets_cors_and_no_other_does() -> None:
    """Preflight, answer and refusal name the one origin; without the setting nothing does."""
    asked = [("host", OWN), ("access-control-request-method", "PATCH")]
    wants = ("access-control-request-headers", "Authorization, upload-offset, b@d")
    listed = [*asked, wants, ("origin", "https://app.example")]
    status, found, _ = ask(listed, method="OPTIONS", origins="https://app.example")
    assert status == 204
    assert "x-inside" not in found
    assert found["access-control-allow-origin"] == "https://app.example"
    assert found["access-control-allow-headers"] == "Authorization, upload-offset"
    assert "PATCH" in found["access-control-allow-methods"]
    assert found["vary"] == "Origin"
    assert "access-control-allow-credentials" not in found

    for origin, origins in (("https://evil.example", "https://app.example"), ("https://x", "")):
        status, found, _ = ask([*asked, ("origin", origin)], method="OPTIONS", origins=origins)
        assert (status, found["x-inside"]) == (200, "1"), "the application's own OPTIONS"
        assert not [name for name in found if name.startswith("access-control")]
        assert ("vary" in found) == bool(origins)

    status, found, _ = ask([("host", "evil.example"), *listed[1:]], origins="https://app.example")
    assert status == 421
    assert not [name for name in found if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASR_HOSTS", "http://asr.example"),
        ("ASR_HOSTS", "a b"),
        ("ASR_HOSTS", "*.127.0.0.1"),
        ("ASR_HOSTS", "a.*"),
        ("ASR_HOSTS", "*:8080"),
        ("ASR_HOSTS", "asr.example:0"),
        ("ASR_ORIGINS", "asr.example"),
        ("ASR_ORIGINS", "*"),
        ("ASR_ORIGINS", "null"),
        ("ASR_ORIGINS", "https://*.example"),
        ("ASR_ORIGINS", "https://asr.example/path"),
    ],
)
def test_a_wrong_list_stops_the_server(name: str, value: str) -> None:
    """A mistake is named at the start, instead of admitting nothing or everything."""
    with pytest.raises(InputError, match=name):
        AsrSettings.from_environment({name: value})


def test_lists_are_kept_in_the_form_of_comparison() -> None:
    """Which the log's first line then shows."""
    given = {"ASR_HOSTS": " Asr.Example. ,*.Тест.рф:9,,[::1]", "ASR_ORIGINS": "HTTP://A:80,x-y://b"}
    settings = AsrSettings.from_environment(given)
    assert settings.hosts == "asr.example,*.xn--e1aybc.xn--p1ai:9,[::1]"
    assert settings.origins == "http://a,x-y://b"
