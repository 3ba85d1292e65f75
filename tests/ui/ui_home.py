"""The first page in a real browser: files arrive, recordings move, nothing is lost on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

from playwright.sync_api import Route

import sounds
from asr.process import Server
from gateway.serving import data
from ui.browser import Open, Start, again, dialogue, until, worked_s

DROP = """([names, bytes]) => {
  const transfer = new DataTransfer();
  for (const name of names) transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector("#drop").dispatchEvent(
      new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
ROWS = "#rows .row"
CUT = 0.4  # share of an upload after which its server is killed


def test_a_fresh_server_gives_a_text_within_a_minute(server: Server, visit: Open) -> None:
    """From opening `/` to the text of the first file: one origin, an empty console.

    The server works at most 60 s for it, by processor time.
    """
    before = worked_s(server)
    with server.client() as client:
        assert "docs" in client.get("/").text
    seen = visit()
    page = seen.home()
    page.set_input_files("#file", {"name": "первая.wav", "mimeType": "", "buffer": sounds.clip()})
    page.click("#rows .row:has-text('Готово') .name:has-text('первая')")
    page.wait_for_selector("body[data-ready]")
    assert "картошку" in page.inner_text("#segments")
    assert worked_s(server) - before < 60
    assert len(seen.sockets) == 2  # one for each page


def test_three_dropped_files_keep_their_order(visit: Open) -> None:
    """Dropped at once: three recordings, the last one on top, one connection for events."""
    seen = visit()
    page = seen.home()
    names = [f"файл {n}.wav" for n in (1, 2, 3)]
    page.evaluate(DROP, [names, list(sounds.clip()[:60_044])])
    page.wait_for_function(
        "() => [...document.querySelectorAll('#rows .name')].filter(a => a.textContent"
        ".startsWith('файл')).length === 3"
    )
    shown = [name for name in page.locator("#rows .name").all_inner_texts() if "файл" in name]
    assert shown == names[::-1]
    assert len(seen.sockets) == 1


def test_an_upload_resumes_after_the_server_was_killed(
    own: Start, tmp_path: Path, visit: Open
) -> None:
    """Killed in the middle and started again: one recording with the right bytes."""
    server = own()
    seen = visit(server.url)
    page = seen.home()
    seen.away = True
    body = dialogue() * 6
    (tmp_path / "длинная.wav").write_bytes(body)

    def cut(route: Route) -> None:
        at = int(route.request.headers.get("upload-offset", 0))
        if at >= CUT * len(body) and server.process.poll() is None:
            server.kill()
        route.continue_()

    page.route("**/ui/uploads/*", cut)
    page.set_input_files("#file", tmp_path / "длинная.wav")
    page.wait_for_selector("#open-rows .state:has-text('Связь прервалась')")
    page.unroute("**/ui/uploads/*")
    again(server)
    with server.client() as client:
        digest = hashlib.sha256(body).hexdigest()
        one = until(
            lambda: [
                r
                for r in data(client.get("/ui/recordings"))["recordings"]
                if r["state"] != "uploading"
            ],
            "the upload does not end",
        )
        assert [(r["title"], r["audio_sha256"]) for r in one] == [("длинная.wav", digest)]


def test_a_closed_tab_is_offered_to_resume(server: Server, visit: Open) -> None:
    """An upload that a tab left behind: the same file continues from where it was."""
    seen, body = visit(), dialogue()
    with server.client() as client:
        tus = {"Tus-Resumable": "1.0.0"}
        name = "0L7RgdGC0LDRgtC+0LouZmxhYw=="  # «остаток.flac»
        headers = {**tus, "Upload-Length": str(len(body)), "Upload-Metadata": f"filename {name}"}
        address = client.post("/ui/uploads", headers=headers).headers["location"]
        piece = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        client.patch(address, headers=piece, content=body[:100_000])
    identity = address.rsplit("/", 1)[1]
    page = seen.home()
    row = f".row[data-id='{identity}']"
    assert "Выберите тот же файл" in page.inner_text(f"{row} .state")
    with page.expect_file_chooser() as chooser:
        page.click(f"{row} [data-act=pick]")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.headers.get("upload-offset", "")))
    chooser.value.set_files({"name": "остаток.flac", "mimeType": "", "buffer": body})
    page.wait_for_selector(f"#rows {row}")
    assert "100000" in asked
    with server.client() as client:
        found = data(client.get(f"/ui/recordings/{identity}"))
    assert found["audio_sha256"] == hashlib.sha256(body).hexdigest()


def test_what_is_no_recording_is_said_in_words(visit: Open) -> None:
    """A text file and an empty one: what is wrong, in words, and a button that removes them."""
    page = visit().home()
    for name, body, words in [
        ("письмо.txt", b"no sound here", "Это не похоже на запись"),
        ("пусто.wav", b"", "Файл пуст"),
    ]:
        page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": body})
        page.wait_for_selector(f"{ROWS}:has-text('{name}') :text('{words}')")
        page.click(f"{ROWS}:has-text('{name}') [data-act=remove]")
        page.click("dialog >> text=Удалить навсегда")
        page.wait_for_selector(f"{ROWS}:has-text('{name}')", state="detached")


def test_twelve_open_tabs_leave_room_for_the_next(visit: Open, call: str) -> None:
    """A browser keeps six connections of HTTP/1.1: events must not take them."""
    seen = visit()

    for _ in range(12):
        seen.home()
    seen.recording(call)  # in the trap it would not load at all
    assert len(seen.sockets) == 13


def test_without_script_home_upload_and_text_work(server: Server, visit: Open) -> None:
    """JavaScript off: the form takes a file, the list shows it, its text can be read."""
    page = visit(java_script_enabled=False).page("/")
    page.set_input_files(
        "#file", {"name": "без скрипта.wav", "mimeType": "", "buffer": sounds.clip()}
    )
    page.click("button:has-text('Отправить')")

    def there() -> bool:
        page.goto(f"{server.url}/")
        count: int = page.locator(f"{ROWS}:has-text('без скрипта')").count()
        return count > 0

    until(there, "the recording is not in the list")
    page.click(".name:has-text('без скрипта')")
    page.wait_for_url("**/plain")
    assert "картошку" in page.inner_text("main")
