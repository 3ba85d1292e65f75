"""Pages as a program sees them: words of both languages, policy, escaping, kept files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from asr.process import Server
from gateway.serving import data
from glagol.gateway.pages import render
from glagol.gateway.pages.policy import POLICY
from glagol.gateway.pages.words import LANGUAGES, hms, plural, words

PAGES = Path(render.__file__).parent
HTML = {"accept": "text/html", "accept-language": "ru"}
# texts whose keys are made of a code, a kind or a name
MADE = (
    "model_",
    "trouble_",
    "kind_",
    "note_",
    "service_",
    "format_",
    "tab_",
    "theme_",
    "key_",
    "keys_",
    "role_",
)
HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(2)>'


def values(text: str) -> set[str]:
    """Names of the values that a text takes."""
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_say_the_same() -> None:
    """Equal keys and values; a plural has three forms in Russian and two in English."""
    ru, en = (words(each).texts for each in LANGUAGES)
    assert ru.keys() == en.keys()
    for key, text in ru.items():
        assert text
        assert en[key]
        assert values(text) == values(en[key]), key
        assert (text.count("|"), en[key].count("|")) in {(0, 0), (2, 1)}, key


def test_every_word_is_said_somewhere() -> None:
    """A key that neither a template, a script nor a module names is no longer needed."""
    files = [*PAGES.glob("templates/*"), *PAGES.glob("static/*.js"), *PAGES.glob("*.py")]
    said = set(re.findall(r"\w+", " ".join(path.read_text() for path in files)))
    unsaid = [k for k in words("ru").texts if k not in said and not k.startswith(MADE)]
    assert unsaid == []


def test_scripts_ask_for_words_that_there_are() -> None:
    """`t("key")` of scripts and templates."""
    files = [*PAGES.glob("templates/*"), *PAGES.glob("static/*.js")]
    for path in files:
        asked = re.findall(r"""\bt\(["'](\w+)["']\s*[,)]""", path.read_text())
        assert set(asked) <= words("ru").texts.keys(), path.name


@pytest.mark.parametrize(
    ("language", "n", "form"),
    [
        *(("ru", n, 0) for n in (1, 21, 101, 1001)),
        *(("ru", n, 1) for n in (2, 3, 4, 22, 104)),
        *(("ru", n, 2) for n in (0, 5, 11, 12, 14, 111, 112, 25)),
        *(("en", n, int(n != 1)) for n in (0, 1, 2, 11, 21)),
    ],
)
def test_plurals_follow_cldr(language: str, n: int, form: int) -> None:
    """Forms by number."""
    assert plural(language, n) == form


def test_numbers_sizes_and_spans_are_written_as_people_do() -> None:
    """Spaces that do not break and a comma in Russian; hours only where there are some."""
    ru, en = words("ru"), words("en")
    assert ru("channels", n=1284) == "1\u00a0284 канала"
    assert en("channels", n=1284) == "1,284 channels"
    assert (ru.size(55_050_240), en.size(2 << 30)) == ("52,5 МБ", "2 GB")
    assert [hms(s) for s in (0, 7.9, 750, 3695)] == ["0:00", "0:07", "12:30", "1:01:35"]


def test_pages_carry_the_policy_in_both_languages(serving: Server) -> None:
    """By what the browser prefers, then by the choice in the cookie."""
    with serving.client() as client:
        for path in ("/", "/settings", "/search", "/search?q=слово"):
            answer = client.get(path, headers=HTML)
            assert answer.status_code == 200
            assert answer.headers["content-security-policy"] == POLICY
            assert '<html lang="ru"' in answer.text
        assert '<html lang="en"' in client.get("/", headers={"accept": "text/html"}).text
        answer = client.get("/language/en", params={"next": "/settings"}, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
        assert '<html lang="en"' in client.get("/settings", headers=HTML).text


@pytest.mark.parametrize("way", ["//evil.example/", "https://evil.example/", "/\\evil", "x", ""])
def test_the_way_back_stays_on_this_server(serving: Server, way: str) -> None:
    """A link cannot send people to another server by way of ours."""
    with serving.client() as client:
        answer = client.get("/language/ru", params={"next": way}, headers=HTML)
    assert answer.headers["location"] == "/"


def test_hostile_titles_are_text(serving: Server) -> None:
    """In HTML and in the JSON that scripts read."""
    with serving.client() as client:
        line = "1\n00:00:01,000 --> 00:00:02,000\nслово\n".encode()
        made = data(client.put("/ui/imports", params={"title": HOSTILE}, content=line))
        for path in ("/", f"/r/{made['id']}", f"/r/{made['id']}/plain"):
            page = client.get(path, headers=HTML).text
            assert "<script>alert" not in page
            assert "<img" not in page
        page = client.get(f"/r/{made['id']}", headers=HTML).text
        found = re.search(r'type="application/json" id="data">(.*?)</script>', page)
        assert found
        assert json.loads(found[1])["recording"]["title"] == HOSTILE
        client.delete(f"/ui/recordings/{made['id']}")
        answer = client.get(f"/r/{made['id']}", headers=HTML)
        assert answer.status_code == httpx.codes.NOT_FOUND
        assert "Такой записи нет" in answer.text


def test_files_of_pages_may_be_kept(serving: Server) -> None:
    """Each by its digest for a year, compressed where that is taken; no other digest."""
    with serving.client() as client:
        page = client.get("/", headers=HTML).text
        for path in re.findall(r'="(/assets/[^"]+)"', page):
            answer = client.get(path)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-encoding"] == "gzip"
        plain = client.get(render.asset("page.js"), headers={"accept-encoding": "identity"})
        assert plain.content == (PAGES / "static/page.js").read_bytes()
        assert client.get("/assets/0123456789abcdef/page.js").status_code == httpx.codes.NOT_FOUND
        assert client.get(render.asset("page.js") + "x").status_code == httpx.codes.NOT_FOUND
