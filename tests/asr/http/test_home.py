"""The page at `/`: for a person, and in short for a program."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from asr.bench import Bench
from asr.process import Server
from glagol.asr.http import home
from glagol.core.errors import HostError, IntegrityError
from sounds import clip

HTML = {"accept": "text/html,*/*;q=0.1"}


def test_a_program_gets_facts(bench: Bench) -> None:
    """Anything but a browser learns name, version and state as JSON."""
    answer = bench.send("GET", "/")
    data = answer.json()["data"]
    assert (answer.status_code, data["name"], data["docs"]) == (200, "Glagol asr-server", "/docs")
    assert data["state"] in {"ready", "waiting"}
    assert "accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("trouble", "state", "text"),
    [
        (HostError("not_ready", "it loads", "wait"), "waiting", "being loaded"),
        (IntegrityError("artifact_altered", "<b>bytes</b> differ", "fetch"), "broken", "&lt;b&gt;"),
    ],
)
def test_the_page_says_what_is_wrong(
    make_bench: Callable[..., Bench], trouble: Exception, state: str, text: str
) -> None:
    """A model that loads, and one that cannot be opened; nothing is markup."""
    bench = make_bench(trouble)
    while not bench.service.engine.loaded:
        pass
    assert bench.send("GET", "/").json()["data"]["state"] == state
    assert text in bench.send("GET", "/", headers=HTML).text


@pytest.mark.parametrize(
    ("accept", "lang"),
    [
        ("", "en"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("en;q=0.5, ru;q=0.7", "ru"),
        ("de, en;q=0.3, ru;q=0.2", "en"),
        ("ru;q=nonsense", "en"),
        ("ru;q=0", "en"),
    ],
)
def test_the_language_is_the_readers(accept: str, lang: str) -> None:
    """Accept-Language decides between the two."""
    assert home.language_of(accept) == lang


def test_both_languages_have_the_same_texts() -> None:
    """No text is missing in one of them."""
    assert home._TEXTS["ru"].keys() == home._TEXTS["en"].keys()


def test_the_real_page_sends_its_form(server: Server) -> None:
    """What the form says is what the route takes; the address in the lines is the client's."""
    with server.client() as client:
        answer = client.get("/", headers={**HTML, "accept-language": "ru"})
        page = answer.text
        assert 'lang="ru"' in page
        assert "Готов к работе: gigaam-nano, cpu-" in page
        assert f"{server.url}/v1/transcribe" in page
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "<script" not in page
        action = re.search(r'action="([^"]*)" method="post"', page)
        assert action
        sent: dict[str, Any] = {"data": {"format": "text", "channel": "mix"}}
        answer = client.post("/" + action[1], files={"file": ("a.flac", clip())}, **sent)
        assert (answer.status_code, answer.headers["content-type"][:10]) == (200, "text/plain")
        assert answer.text.strip()
