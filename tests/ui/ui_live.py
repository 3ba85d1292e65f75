"""Live captions, the queue and the models in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sounds
from asr.process import Server
from gateway.serving import data, serve, settled
from homes import MODEL
from ui.browser import Open, Watched, dialogue, launch, until


def test_speech_becomes_text_while_it_is_said_and_a_recording(
    playwright: Any, server: Server, tmp_path: Path
) -> None:
    """Guesses, finals, and a recording of the very bytes whose text has every final."""
    (tmp_path / "speech.wav").write_bytes(sounds.wav(*sounds.samples()))
    browser = launch(
        playwright,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'speech.wav'}",
    )
    try:
        seen = Watched(browser.new_context(locale="ru-RU", permissions=["microphone"]), server.url)
        page = seen.page("/live", "body[data-ready]")
        page.click("#start")
        page.wait_for_selector("#final:has-text('любит')", timeout=60_000)
        page.click("#stop")
        page.click("#after:not([hidden]) a", timeout=60_000)
        page.wait_for_selector("body[data-ready]")
        identity = page.url.rsplit("/", 1)[1]
        with server.client() as client:
            found = settled(client, identity)
            assert found["state"] == "done"
            assert found["title"].startswith("Эфир")
            assert "любит" in found["snippet"]
        page.wait_for_selector(".seg p:has-text('любит')")
        seen.quiet()
    finally:
        browser.close()


def test_captions_that_stop_leave_the_recording(
    playwright: Any, server: Server, tmp_path: Path
) -> None:
    """The recogniser's stream is refused: it is said in words, and the recording is kept."""
    (tmp_path / "speech.wav").write_bytes(sounds.wav(*sounds.samples()))
    browser = launch(
        playwright,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'speech.wav'}",
    )
    try:
        seen = Watched(browser.new_context(locale="en-US", permissions=["microphone"]), server.url)
        page = seen.page("/live", "body[data-ready]")
        page.route_web_socket("**/v1/stream", lambda socket: socket.close(code=4503))
        page.click("#start")
        page.wait_for_selector("#trouble:has-text('The recording continues')")
        page.wait_for_function("() => document.getElementById('time').textContent >= '0:02'")
        page.click("#stop")
        page.wait_for_selector("#after:not([hidden]) a", timeout=60_000)
        seen.quiet()
    finally:
        browser.close()


def test_no_microphone_is_said_where_it_is_looked_for(visit: Open) -> None:
    """Refused: the way to allow it, beside the button."""
    seen = visit(permissions=[])
    page = seen.page("/live", "body[data-ready]")
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    page.click("#start")
    page.wait_for_selector("#trouble:has-text('Доступ к микрофону запрещён')")


def test_the_queue_agrees_with_the_job_and_cancels(home: Path, tmp_path: Path, visit: Open) -> None:
    """A job shows its state and place; a cancelled one leaves the list and the server."""
    server = serve(home, tmp_path / "serving")
    try:
        with server.client() as client:
            made = [
                data(
                    client.put(
                        "/ui/recordings", params={"title": f"длинная {n}.wav"}, content=dialogue(40)
                    )
                )
                for n in (1, 2)
            ]
            first, second = (str(each["id"]) for each in made)
            until(lambda: data(client.get(f"/ui/recordings/{first}"))["state"] == "running")
            page = visit(server.url).page("/queue", "body[data-ready]")
            page.wait_for_selector(f"#running .row[data-id='{first}'] progress")
            page.wait_for_selector(f"#running .row[data-id='{first}'] .state:has-text('из')")
            waits = f".row[data-id='{second}']"
            page.wait_for_selector(waits)
            page.click(f"{waits} [data-act=cancel]")
            page.wait_for_selector(f"#failed {waits} .state:has-text('Отменено')")
            page.click(f"#running .row[data-id='{first}'] [data-act=cancel]")
            page.wait_for_selector("#running-part", state="hidden")
            assert data(client.get(f"/ui/recordings/{first}"))["trouble"] == "cancelled"
            page.click(f"#failed {waits} [data-act=again]")
            page.wait_for_selector(f"#failed {waits}", state="detached")
    finally:
        server.kill()


@pytest.mark.parametrize("script", [True, False])
def test_models_say_what_they_are_for(visit: Open, *, script: bool) -> None:
    """Each with its licence, its state and its files; what is missing with the command for it."""
    page = visit(java_script_enabled=script).page("/models")
    own = page.locator(f"#asr-{MODEL}")
    assert "обычная" in own.inner_text()
    assert "MIT" in own.inner_text()
    own.locator("summary").click()
    assert own.locator(".digests code").first.inner_text().isalnum()
    missing = page.locator("#asr-speakers-campplus")
    assert "glagol models build speakers-campplus --fetch" in missing.inner_text()
