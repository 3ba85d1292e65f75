"""The page of a recording in a real browser: sound and text together, edits, speakers, exports."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page

import sounds
from asr.process import Server
from gateway.serving import data, settled
from glagol.web.access.people import FILE, People, Person, hashed
from homes import MODEL, OTHER
from ui.browser import NEAR_S, Open, Start, again, dialogue, put, segments, until

PASSWORD = "лошадь батарея скрепка"  # noqa: S105 - made up
SAVED = "#saved:not(.bad):has-text('Сохранено в')"


def test_an_edit_is_kept_before_it_is_called_saved(own: Start, visit: Open) -> None:
    """The server is killed before it has the edit: nothing says "saved" until it has it again."""
    server = own()
    identity = put(server, "правка.wav", sounds.clip())
    seen = visit(server.url)
    page = seen.recording(identity)
    seen.away = True
    page.focus(".seg p")
    page.keyboard.press("Enter")
    server.process.send_signal(19)  # SIGSTOP: it takes nothing more
    with page.expect_request("**/edits"):
        page.keyboard.type("слово ")
    assert "Сохранено" not in page.inner_text("#saved")
    again(server)
    page.wait_for_selector(SAVED)
    assert segments(server, identity)[0][5].startswith("слово екатерина")
    seen.complaints.clear()
    page.reload()
    page.wait_for_selector(".seg p:has-text('слово екатерина')")


def test_a_draft_outlives_its_tab(server: Server, visit: Open) -> None:
    """What the server never got is in the browser, and is sent when the page is opened again."""
    identity = put(server, "черновик.wav", sounds.clip())
    seen = visit()
    page = seen.recording(identity)
    seen.away = True
    page.route("**/edits", lambda route: route.abort())
    page.focus(".seg p")
    page.keyboard.press("Enter")
    page.keyboard.type("черновик ")
    page.wait_for_selector("#saved.bad")
    page.close(run_before_unload=False)
    page = seen.recording(identity)
    page.wait_for_selector(SAVED)
    assert segments(server, identity)[0][5].startswith("черновик екатерина")


def test_two_people_see_each_other(server: Server, visit: Open) -> None:
    """Edits of two segments meet; of one segment both are shown, and the choice is kept."""
    with server.client() as client:
        lines = [f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\nреплика {n}\n" for n in (1, 2)]
        made = data(client.put("/ui/imports?title=двое.srt", content="\n".join(lines).encode()))
    identity = made["id"]
    one, other = visit().recording(identity), visit().recording(identity)
    for page, number, word in ((one, 0, "мой "), (other, 1, "твой ")):
        page.focus(f".seg:nth-child({number + 1}) p")
        page.keyboard.press("Enter")
        page.keyboard.type(word)
    one.wait_for_selector(".seg:has-text('твой реплика 2')")
    other.wait_for_selector(".seg:has-text('мой реплика 1')")
    one.keyboard.press("Escape")
    other.context.close()
    one.focus(".seg:nth-child(1) p")
    one.keyboard.press("Enter")
    one.keyboard.type("второй ")
    with server.client() as client:  # the other person saves first
        seen = data(client.get(f"/ui/recordings/{identity}/text"))["edit"]
        operation = {"op": "set", "segment": 1, "text": "первый реплика 1"}
        body = {"seen": seen, "operation": operation}
        data(client.post(f"/ui/recordings/{identity}/edits", json=body))
    one.wait_for_selector(".conflict")
    assert "первый" in one.inner_text(".seg:nth-child(1) p")
    assert "второй" in one.inner_text(".conflict blockquote")
    one.click(".conflict >> text=Оставить мой текст")
    until(lambda: "второй" in segments(server, identity)[0][5])


def test_speakers_are_named_given_and_united(server: Server, visit: Open) -> None:
    """A name, another speaker for a segment, two made one: page and exports agree; undo."""
    identity = put(server, "говорящие.wav", dialogue(2), channel="split")
    page = visit().recording(identity)
    before = segments(server, identity)
    names = page.locator("#panel-speakers input")
    names.nth(0).fill("Ольга")
    names.nth(0).press("Enter")
    page.wait_for_selector(".seg .name:has-text('Ольга')")
    with server.client() as client:

        def export(name: str) -> str:
            return client.get(
                f"/ui/recordings/{identity}/export", params={"format": name, "speakers": "1"}
            ).text

        assert "<v Ольга>" in export("vtt")
        assert "Ольга" in export("text")
        assert "Ольга" in export("srt")
    page.click(".seg:nth-child(1) .name")
    page.click("[role=menu] >> text=Новый говорящий")
    page.wait_for_function("() => document.querySelectorAll('.person').length === 3")
    page.locator("#panel-speakers select").nth(0).select_option(index=1)
    page.wait_for_function("() => document.querySelectorAll('.person').length === 2")
    for _ in range(3):
        with page.expect_response("**/undo"):
            page.click("#undo:not([disabled])")
    until(lambda: segments(server, identity) == before)
    assert page.locator(".name:has-text('Ольга')").count() == 0


def test_speakers_found_by_voice_are_people(server: Server, visit: Open) -> None:
    """S1 and S2 of the recogniser: numbered as people count, named, given, united, exported."""
    with server.client() as client:
        said = [(0.0, "здравствуйте", "S1"), (1.0, "добрый день", "S2"), (2.0, "спасибо", "S1")]
        text = {
            "segments": [
                {"start": at, "end": at + 0.9, "text": words, "speaker": speaker}
                for at, words, speaker in said
            ],
            "duration": 3.0,
            "language": "ru",
        }
        title = {"title": "голоса.json"}
        made = data(client.put("/ui/imports", params=title, content=json.dumps(text)))
    identity = made["id"]
    page = visit().recording(identity)
    assert page.inner_text(".seg:nth-child(1) .name") == "Говорящий 1"
    assert page.inner_text(".seg:nth-child(2) .name") == "Говорящий 2"
    page.click(".seg:nth-child(3) .name")
    page.click("[role=menu] >> text=Новый говорящий")
    page.wait_for_selector(".seg:nth-child(3) .name:has-text('Говорящий 3')")
    field = page.locator("#panel-speakers .person[data-key=S2] input")
    field.fill("Ольга")
    field.press("Enter")
    page.wait_for_selector(".seg:nth-child(2) .name:has-text('Ольга')")
    page.locator("#panel-speakers .person[data-key=spk2] select").select_option(label="Ольга")
    page.wait_for_selector(".seg:nth-child(3) .name:text-is('Ольга')", state="attached")
    with server.client() as client:
        query = {"format": "vtt", "speakers": "1"}
        exported = client.get(f"/ui/recordings/{identity}/export", params=query).text
    assert exported.count("<v Ольга>") == 2
    assert [row[3] for row in segments(server, identity)] == ["S1", "S2", "S2"]


def test_another_model_stands_beside_the_edits(server: Server, visit: Open) -> None:
    """Transcribed again: edits stay; the other text is taken by one edit and given back by undo."""
    identity = put(server, "две модели.wav", sounds.clip())
    page = visit().recording(identity)
    with server.client() as client:
        operation = {"op": "set", "segment": 1, "text": "правка человека"}
        body = {"seen": 0, "operation": operation}
        data(client.post(f"/ui/recordings/{identity}/edits", json=body))
    page.wait_for_selector(".seg p:has-text('правка человека')")
    before = segments(server, identity)
    page.click("#more summary")
    page.click("#again")
    page.select_option("dialog select >> nth=0", OTHER)
    page.click("dialog .main")
    page.click("#status .note .main:has-text('Взять этот текст')")
    page.wait_for_selector(".seg p:has-text('картошку')")
    assert page.locator(".seg p:has-text('правка человека')").count() == 0
    page.wait_for_selector("#status .note", state="detached")
    page.click("#undo:not([disabled])")
    page.wait_for_selector(".seg p:has-text('правка человека')")
    assert segments(server, identity) == before
    page.click("#tab-source")
    page.wait_for_selector("#panel-source .ok:has-text('сверена')")
    with server.client() as client:
        found = data(client.get(f"/ui/recordings/{identity}/source"))
    assert [made["model"] for made in found["machine"]] == [MODEL, OTHER]
    assert (found["shown"], found["edits"], found["verified"]) == (1, 3, True)


def test_a_missing_model_of_speakers_is_said(server: Server, visit: Open) -> None:
    """The form does not offer it; a program that asks for it gets a text later without it."""
    with server.client() as client:
        query = {"title": "голоса.wav", "speakers": "voices"}
        made = data(client.put("/ui/recordings", params=query, content=sounds.clip()))
        found = settled(client, made["id"])
        assert (found["state"], found["trouble"]) == ("failed", "speakers_missing")
    page = visit().home()
    page.click("summary:has-text('Как расшифровать')")
    assert page.locator("#speakers option[value=voices]").is_disabled()
    page.wait_for_selector("#rows .row:has-text('нет модели, которая различает голоса')")
    page.goto(f"{server.url}/r/{made['id']}")
    page.wait_for_selector("body[data-ready]")
    page.click("#more summary")
    page.click("#again")
    page.click("dialog .main")
    page.wait_for_selector(".seg p:has-text('картошку')")


def test_replacing_everywhere_is_one_edit(server: Server, visit: Open, call: str) -> None:
    """Case and ё do not matter; what will change is shown first; one undo takes it back."""
    page, before = visit().recording(call), segments(server, call)
    page.keyboard.press("Control+KeyH")
    page.fill("dialog .field:nth-of-type(1) input", "Теплый")
    page.fill("dialog .field:nth-of-type(2) input", "горячий")
    page.wait_for_selector("dialog output:has-text('8 мест')")
    assert "горячий пирог" in page.inner_text("dialog .found li:first-child ins")
    page.click("dialog .main")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.seg p')].every("
        "p => p.textContent.includes('горячий'))"
    )
    page.click("#undo:not([disabled])")
    until(lambda: segments(server, call) == before)
    page.wait_for_selector(".seg:first-child p:has-text('тёплый')")


def test_split_join_and_the_keyboard(server: Server, visit: Open) -> None:
    """Enter splits, Backspace joins, Ctrl+Enter says it is right; letters stay letters."""
    identity = put(server, "клавиши.wav", sounds.clip())
    page = visit().recording(identity)
    text = segments(server, identity)[0][5]
    page.focus(".seg p")
    page.keyboard.press("Enter")
    for _ in range(len("екатерина не ")):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.seg').length === 2")
    page.wait_for_selector(".seg:nth-child(2) p[contenteditable]")
    page.keyboard.press("Backspace")
    page.wait_for_function("() => document.querySelectorAll('.seg').length === 1")
    assert segments(server, identity)[0][5] == text
    page.keyboard.press("Control+End")
    page.keyboard.type(" 1/?")  # commands while reading, text while editing
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".seg .tick")
    until(lambda: segments(server, identity)[0][4] == 1)
    assert segments(server, identity)[0][5] == f"{text} 1/?"
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Slash")
    page.wait_for_selector("dialog .keys")


def test_search_leads_to_the_place(visit: Open, call: str) -> None:
    """A word in another form, ё or е: the hit opens where it is said."""
    page = visit().page("/search?q=картошкой", "main article")
    page.click(f".hits a[href*='{call}'] >> nth=1")
    page.wait_for_selector("body[data-ready]")
    at = float(re.findall(r"t=([\d.]+)", page.url)[0])
    page.wait_for_function(
        f"() => Math.abs(document.getElementById('audio').currentTime - {at}) < {NEAR_S}"
    )
    assert page.input_value("#find") == "картошкой"


def test_a_session_that_ends_in_the_middle_of_an_edit_loses_nothing(
    own: Start, tmp_path: Path, visit: Open
) -> None:
    """Signed out while typing: it is said, and what was typed is saved after the next sign-in."""
    state = tmp_path / "serving/state"
    state.mkdir(parents=True)
    at = datetime(2026, 11, 30, tzinfo=UTC)
    person = Person(name="olga", role="editor", password=hashed(PASSWORD), created=at)
    (state / FILE).write_bytes(People(people=(person,)).written())
    server = own()
    seen = visit(server.url)

    def enter(page: Page) -> None:
        page.fill("input[name=name]", "olga")
        page.fill("input[name=password]", PASSWORD)
        page.click("button:has-text('Войти')")
        page.wait_for_url(f"{server.url}/")

    enter(seen.page("/"))
    asks, mark = seen.context.request, {"x-glagol": "1"}
    line = "1\n00:00:01,000 --> 00:00:02,000\nреплика\n".encode()
    answer = asks.put(f"{server.url}/ui/imports?title=x", data=line, headers=mark)
    identity = answer.json()["data"]["id"]
    page = seen.recording(identity)
    page.focus(".seg p")
    page.keyboard.press("Enter")
    assert asks.delete(f"{server.url}/ui/session", headers=mark).ok
    page.keyboard.type("вторая ")
    page.wait_for_selector("#saved.bad:has-text('Вы вышли')")
    enter(seen.page("/signin"))
    page.bring_to_front()
    page.evaluate("() => dispatchEvent(new Event('focus'))")
    page.wait_for_selector(SAVED)
    text = asks.get(f"{server.url}/ui/recordings/{identity}/text").json()["data"]
    assert text["segments"][0][5] == "вторая реплика"
    seen.complaints[:] = [each for each in seen.complaints if "401" not in each]


def test_deleting_leaves_nothing_to_open(server: Server, visit: Open) -> None:
    """Asked once, with a receipt; then the address answers 404 in words."""
    identity = put(server, "удалить.wav", sounds.clip())
    seen = visit()
    page = seen.recording(identity)
    page.click("#more summary")
    page.click("#delete")
    page.click("dialog >> text=Удалить навсегда")
    page.wait_for_selector("#toast:has-text('Квитанция')")
    page.wait_for_url(f"{server.url}/")
    answer = page.goto(f"{server.url}/r/{identity}")
    assert answer is not None
    assert answer.status == 404
    assert "Такой записи нет" in page.inner_text("h1")
    seen.complaints.clear()  # the browser itself says that the page answered 404
