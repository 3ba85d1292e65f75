"""Live captions, the queue and the models in a real browser."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import sounds
from asr.process import Server
from gateway.serving import data, settled
from glagol.asr.inference.threads import divide, usable
from glagol.gateway.pages.words import hms
from homes import MODEL
from ui.browser import Open, Start, Watched, dialogue, launch, until

LONG_TURNS = 100  # 37 minutes: cancelled long before it is done
SHOWN = """([row, done]) => {
  const said = document.querySelector(`${row} .state`)?.textContent.match(/ ([\\d:]+) из/);
  if (!said) return false;
  return said[1].split(":").reduce((sum, each) => 60 * sum + Number(each), 0) >= Math.floor(done);
}"""


def seconds(said: str) -> int:
    """The seconds of the first clock in a sentence."""
    found = re.search(r"\d+(:\d\d)+", said)
    assert found, said
    return reduce(lambda sum_, each: 60 * sum_ + int(each), found[0].split(":"), 0)


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
        page.wait_for_selector("#final:has-text('любит')")
        page.click("#stop")
        page.click("#after:not([hidden]) a")
        page.wait_for_selector("body[data-ready]")
        identity = page.url.rsplit("/", 1)[1]
        with server.client() as client:
            found = settled(client, identity)
            assert found["state"] == "done"
            assert found["title"].startswith("Эфир")
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
        page.wait_for_selector("#after:not([hidden]) a")
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


def test_the_queue_agrees_with_the_job_and_cancels(own: Start, visit: Open) -> None:
    """A job shows the place and the progress of `/v1/jobs/ID`; a cancelled one frees the lane."""
    server = own()
    workers = divide(0, usable())[1]
    with server.client() as client:
        jobs: list[tuple[str, str]] = []

        def fresh() -> set[str]:
            there = {str(each["id"]) for each in data(client.get("/v1/jobs"))["jobs"]}
            return there - {each for _, each in jobs}

        for number in range(workers + 2):
            query = {"title": f"запись {number}.wav"}
            body = dialogue(LONG_TURNS if number < workers else 1)
            made = data(client.put("/ui/recordings", params=query, content=body))
            jobs.append((str(made["id"]), until(fresh).pop()))
        first, job = jobs[0]
        (next_, _), (last, last_job) = jobs[-2:]
        until(lambda: data(client.get("/v1/jobs/" + jobs[workers - 1][1]))["state"] == "running")
        page = visit(server.url).page("/queue", "body[data-ready]")
        running, waits = f"#running .row[data-id='{first}']", f".row[data-id='{last}']"
        page.wait_for_selector(f"{running} progress")
        done = data(client.get(f"/v1/jobs/{job}"))["progress"]
        page.wait_for_function(SHOWN, arg=[running, done["done_s"]])
        shown = page.inner_text(f"{running} .state")
        now = data(client.get(f"/v1/jobs/{job}"))["progress"]
        assert seconds(shown) <= now["done_s"], shown
        assert f"из {hms(now['total_s'])}" in shown
        assert data(client.get(f"/v1/jobs/{last_job}"))["ahead"] == 1
        page.wait_for_selector(f"#queued {waits} .state:has-text('впереди 1')")
        page.click(f"{waits} [data-act=cancel]")
        page.wait_for_selector(f"#failed {waits} .state:has-text('Отменено')")
        page.click(f"{running} [data-act=cancel]")
        page.wait_for_selector(f"#failed .row[data-id='{first}'] .state:has-text('Отменено')")
        until(lambda: data(client.get(f"/v1/jobs/{job}"))["state"] == "cancelled")
        assert data(client.get(f"/ui/recordings/{first}"))["trouble"] == "cancelled"
        assert settled(client, next_)["state"] == "done"
        page.click(f"#failed {waits} [data-act=again]")
        page.wait_for_selector(f"#failed {waits}", state="detached")


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
