"""`glagol serve` as a browser and a program see it: real audio, the real model, a real library."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import av
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

import sounds
from asr.process import PATIENCE_S, Server
from gateway.serving import code, data, serve, settled

HTML = {"accept": "text/html,application/xhtml+xml"}
TUS = {"tus-resumable": "1.0.0"}
TITLE = "звонок <img src=x onerror=alert(1)>.flac"


@pytest.fixture(scope="module")
def client(serving: Server) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


@pytest.fixture(scope="module")
def clip(home: Path) -> bytes:
    """The known-answer recording of the embedded model."""
    return (home / "models/gigaam-nano/golden/clip.flac").read_bytes()


@pytest.fixture(scope="module")
def recording(client: httpx.Client, clip: bytes) -> str:
    """Id of a recording that was transcribed."""
    made = data(client.put("/ui/recordings", params={"title": TITLE}, content=clip))
    assert (made["state"], made["title"]) == ("queued", TITLE)
    done = settled(client, made["id"])
    assert (done["state"], done["made_by"]) == ("done", "gigaam-nano"), done
    assert done["audio_sha256"] == hashlib.sha256(clip).hexdigest()
    return str(done["id"])


def test_a_browser_gets_a_page_and_a_program_gets_facts(
    client: httpx.Client, recording: str
) -> None:
    """`/` is both; every page has the strict policy, and shows hostile titles as text."""
    for path in ("/", f"/r/{recording}"):
        page = client.get(path, headers=HTML)
        assert page.status_code == 200, page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert "<img src=x" not in page.text
        for address in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
            asset = client.get(address)
            assert asset.status_code == 200, address
            assert "immutable" in asset.headers["cache-control"]
    assert data(client.get("/"))["name"] == "Glagol asr-server"
    assert client.get("/v1/models").status_code == 200
    state = data(client.get("/ui/state"))
    assert state["services"]["asr"]["there"]
    assert not state["services"]["llm"]["there"]


def test_a_listening_copy_and_its_peaks_are_made(client: httpx.Client, recording: str) -> None:
    """Opus in MP4 whose length is that of the recording, and fifty pairs of peaks a second."""
    at, until = f"/ui/recordings/{recording}", time.monotonic() + PATIENCE_S
    while data(client.get(at))["sound"] != "copy" and time.monotonic() < until:
        time.sleep(0.05)
    shown = data(client.get(at))
    assert (shown["sound"], shown["peaks"], shown["channels"]) == ("copy", True, 1)
    copy = client.get(f"{at}/sound", headers={"range": "bytes=0-"})
    assert (copy.status_code, copy.headers["content-type"]) == (206, "audio/mp4")
    with av.open(BytesIO(copy.content)) as opened:
        assert opened.streams.audio[0].codec_context.name == "opus"
        assert abs(opened.duration / 1000 - shown["duration_ms"]) < 50
    peaks = client.get(f"{at}/peaks", headers={"range": "bytes=0-99"})
    assert (peaks.status_code, len(peaks.content)) == (206, 100)
    whole = client.get(f"{at}/peaks").content
    assert abs(len(whole) - shown["duration_ms"] / 10) <= 2
    assert max(whole) > 0


def test_an_edit_is_kept_taken_back_found_and_exported(
    client: httpx.Client, recording: str, serving: Server
) -> None:
    """The text that is shown, searched and exported is the edited one; the machine's is kept.

    What is kept is the very text whose digest the audit log has of the job.
    """
    at = f"/ui/recordings/{recording}"
    text = data(client.get(f"{at}/text"))
    segment = text["segments"][0]
    words = segment[5].split(" ")
    assert len(segment[6]) == 3 * len(words)
    edit = {"op": "set", "segment": segment[0], "text": f"{segment[5]} полундра"}
    made = data(client.post(f"{at}/edits", json={"seen": text["edit"], "operation": edit}))
    assert made["segments"][0][5].endswith("полундра")
    assert made["segments"][0][6][-1] == -2
    name = {"op": "name", "speaker": segment[3], "name": "Ольга"}
    data(client.post(f"{at}/edits", json={"seen": made["edit"], "operation": name}))
    found = data(client.get("/ui/search", params={"q": "полундру"}))["recordings"]
    assert [each["id"] for each in found] == [recording]
    for form in ("text", "srt", "vtt", "tsv", "json", "txt", "md", "docx", "html"):
        asked = {"format": form, "speakers": "1", "times": "1"}
        answers = [client.get(f"{at}/export", params=asked) for _ in range(2)]
        assert answers[0].content == answers[1].content
        shown = answers[0].content
        if form == "docx":
            shown = zipfile.ZipFile(BytesIO(shown)).read("word/document.xml")
        assert "полундра" in shown.decode(), form
        if form != "json":
            assert "Ольга" in shown.decode(), form
        if form in {"txt", "md", "docx", "html"}:
            assert made_by(client, at) in shown.decode(), form
        assert "filename*=UTF-8''%D0%B7" in answers[0].headers["content-disposition"]
    original = data(client.get(f"{at}/text", params={"original": "1"}))["segments"]
    said = " ".join(each[5] for each in original)
    assert "полундра" not in said
    job = data(client.get(f"{at}/source"))["machine"][0]["job"]
    audit = map(json.loads, (serving.state / "audit.log").read_text().splitlines())
    (logged,) = [line["transcript_sha256"] for line in audit if line.get("job") == job]
    assert hashlib.sha256(said.encode()).hexdigest() == logged
    undone = data(client.post(f"{at}/undo", json={"edit": made["number"]}))
    assert undone["segments"][0][5] == segment[5]
    source = data(client.get(f"{at}/source"))
    assert (source["verified"], source["edits"]) == (True, 3)
    history = data(client.get(f"{at}/edits"))["edits"]
    assert [(each["kind"], each["undone_by"]) for each in history] == [
        ("set", 3),
        ("name", None),
        ("restore", None),
    ]
    missed = data(client.get(f"{at}/changes", params={"after": "0"}))
    assert (missed["edit"], missed["segments"][0][5]) == (3, segment[5])


def made_by(client: httpx.Client, at: str) -> str:
    """Digest of the machine's text of a recording."""
    return str(data(client.get(f"{at}/source"))["machine"][0]["result_sha256"])


def test_two_people_in_one_segment_both_stay(client: httpx.Client, recording: str) -> None:
    """The second is refused with a code, and nothing of the first is lost."""
    at = f"/ui/recordings/{recording}"
    text = data(client.get(f"{at}/text"))
    number = text["segments"][0][0]

    def change(words: str) -> httpx.Response:
        operation = {"op": "set", "segment": number, "text": words}
        return client.post(f"{at}/edits", json={"seen": text["edit"], "operation": operation})

    first = data(change("первый"))
    assert code(change("второй")) == "edit_conflict"
    assert data(client.get(f"{at}/text"))["segments"][0][5] == "первый"
    data(client.post(f"{at}/undo", json={"edit": first["number"]}))


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=100-", 206, (100, None)),
        ("bytes=-7", 206, (-7, None)),
        ("bytes=9-2", 200, (0, None)),
        ("bytes=0-1,5-6", 200, (0, None)),
        ("lines=0-9", 200, (0, None)),
        ("bytes=999999999-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_sound_by_ranges(
    client: httpx.Client,
    recording: str,
    clip: bytes,
    given: str,
    status: int,
    part: tuple[int, int | None] | None,
) -> None:
    """Every form of a range (RFC 9110, section 14), of the original that was brought."""
    path = f"/ui/recordings/{recording}/sound?original=1"
    answer = client.get(path, headers={"range": given})
    assert answer.status_code == status
    if part is None:
        assert code(answer) == "range_invalid"
        return
    assert answer.content == clip[slice(*part)]
    stale = client.get(path, headers={"range": given, "if-range": '"another"'})
    assert (stale.status_code, stale.content) == (200, clip)


def test_pages_of_others_reach_nothing(client: httpx.Client, recording: str) -> None:
    """Neither by another host name nor from another origin, by HTTP or by a WebSocket."""
    path = f"/ui/recordings/{recording}"
    assert code(client.get(path, headers={"host": "evil.example"})) == "host_not_allowed"
    for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert code(client.delete(path, headers=foreign)) == "origin_not_allowed"
        assert code(client.post("/ui/recordings", headers=foreign)) == "origin_not_allowed"
    with (
        pytest.raises(InvalidStatus, match="403"),
        events(client, origin=Origin("https://evil.example")),
    ):
        pass
    assert client.get(path).status_code == 200


def events(client: httpx.Client, origin: Origin | None = None) -> ClientConnection:
    """The socket of a page."""
    address = str(client.base_url).replace("http", "ws", 1)
    return connect(f"{address.rstrip('/')}/ui/events", proxy=None, origin=origin)


def test_open_pages_get_events(client: httpx.Client, recording: str) -> None:
    """Of a change of a recording, of an edit, of what is gone; a dozen pages at once."""
    made = data(client.put("/ui/imports", params={"title": "a"}, content=SRT.encode("cp1251")))
    with ExitStack() as stack:
        pages: list[ClientConnection] = [stack.enter_context(events(client)) for _ in range(12)]
        for page in pages:
            assert json.loads(page.recv(10))["type"] == "hello"
        data(client.patch(f"/ui/recordings/{recording}", json={"held": True}))
        for page in pages:
            event = json.loads(page.recv(10))
            assert (event["type"], event["recording"]["held"]) == ("recording", True)
        data(client.delete(f"/ui/recordings/{made['id']}"))
        for page in pages:
            assert json.loads(page.recv(10)) == {"type": "removed", "id": made["id"]}


SRT = (
    "1\r\n00:00:01,000 --> 00:00:02,500\r\n[1] <i>привет</i> мир\r\n\r\n"
    "2\r\n0:00:03,0 --> 0:00:04,0\r\nда\r\n"
)


def test_subtitles_and_our_own_json_are_imported(client: httpx.Client, recording: str) -> None:
    """Times and speakers survive; what is something else is refused."""
    made = data(client.put("/ui/imports", params={"title": "a.srt"}, content=SRT.encode()))
    text = data(client.get(f"/ui/recordings/{made['id']}/text"))
    assert [(s[1], s[2], s[3], s[5]) for s in text["segments"]] == [
        (1000, 2500, "ch1", "привет мир"),
        (3000, 4000, "", "да"),
    ]
    exported = client.get(f"/ui/recordings/{recording}/export", params={"format": "json"})
    again = data(client.put("/ui/imports", params={"title": "b"}, content=exported.content))
    assert again["duration_ms"] == 10553
    for wrong in (b"", b"{}", b"\x00\x01", b'{"segments": 1}'):
        assert code(client.put("/ui/imports", content=wrong)) == "import_invalid", wrong


@pytest.mark.slow
def test_an_upload_continues_after_the_server_was_killed(
    home: Path, clip: bytes, tmp_path: Path
) -> None:
    """kill -9 in the middle: what was acknowledged is there, and the recording becomes whole.

    Then it is deleted, and no byte of its words or its sound is left in the whole state.
    """
    half = len(clip) // 2
    name = base64.b64encode("маркер.flac".encode()).decode()
    server = serve(home, tmp_path, wait=False)
    with server.client() as client:
        begun = client.post(
            "/ui/uploads",
            headers={**TUS, "upload-length": str(len(clip)), "upload-metadata": f"filename {name}"},
        )
        place = begun.headers["location"]
        assert send(client, place, 0, clip[:half]).headers["upload-offset"] == str(half)
        assert code(send(client, place, 3, clip[half:])) == "upload_state"
    server.kill()
    server = serve(home, tmp_path)
    with server.client() as client:
        shown = data(client.get("/ui/recordings", params={"state": "uploading"}))["recordings"]
        assert [each["uploaded_bytes"] for each in shown] == [half]
        assert client.head(place, headers=TUS).headers["upload-offset"] == str(half)
        assert send(client, place, half, clip[half:]).status_code == 204
        identity = place.rpartition("/")[2]
        done = settled(client, identity)
        assert (done["state"], done["title"]) == ("done", "маркер.flac")
        assert done["audio_sha256"] == hashlib.sha256(clip).hexdigest()
        assert left(server.state, clip[:200], "картошку", "маркер")
        receipt = data(client.delete(f"/ui/recordings/{identity}", params={"why": "проба"}))
        assert receipt["audio_sha256"] == done["audio_sha256"]
        assert not left(server.state, clip[:200], "картошку", "картошк", "маркер")
        assert code(client.get(f"/ui/recordings/{identity}")) == "recording_unknown"
    assert server.stop() == 0
    with sqlite3.connect(server.state / "library/library.sqlite") as db:
        assert db.execute("SELECT count(*) FROM receipt").fetchone() == (1,)
    db.close()


def send(client: httpx.Client, place: str, offset: int, body: bytes) -> httpx.Response:
    """A piece of an upload."""
    kind = {"content-type": "application/offset+octet-stream", "upload-offset": str(offset)}
    return client.patch(place, headers={**TUS, **kind}, content=body)


def left(state: Path, sound: bytes, *words: str) -> list[str]:
    """Files of a state directory that hold a piece of sound or a word, in any spelling of JSON."""
    needles = [sound, *(word.encode() for word in words)]
    needles += [ascii(word)[1:-1].encode() for word in words]
    files = [path for path in state.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(each in path.read_bytes() for each in needles)]


def test_a_large_recording_needs_no_pieces(client: httpx.Client) -> None:
    """Above the limit of other bodies: in one request, and by the form of a page without script."""
    body = bytes(9 << 20)
    made = data(client.put("/ui/recordings", params={"title": "одна"}, content=body))
    assert made["bytes"] == len(body)
    answer = client.post("/ui/recordings", files={"file": ("две", body)}, headers={"x-glagol": "1"})
    assert answer.status_code == httpx.codes.SEE_OTHER
    newest = data(client.get("/ui/recordings", params={"limit": 1}))["recordings"][0]
    assert (newest["title"], newest["bytes"]) == ("две", len(body))
    for each in (made, newest):
        settled(client, each["id"])
        client.delete(f"/ui/recordings/{each['id']}")


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp3", "libmp3lame", {"write_xing": "0"}),
        ("webm", "libopus", {"live": "1"}),
        ("wav", "pcm_s16le", {}),
    ],
)
def test_what_no_browser_can_seek_gets_a_copy_of_the_right_length(
    client: httpx.Client, container: str, codec: str, options: dict[str, str]
) -> None:
    """MP3 of a variable rate without an index, WebM as a browser records it, WAV of a call."""
    body = encoded(container, codec, options)
    with av.open(BytesIO(body)) as opened:  # an MP3 begins with its encoder's delay
        length_s = sum(each.samples / each.sample_rate for each in opened.decode(audio=0))
    made = data(client.put("/ui/recordings", params={"title": f"x.{container}"}, content=body))
    until = time.monotonic() + PATIENCE_S
    while (found := data(client.get(f"/ui/recordings/{made['id']}")))["sound"] != "copy":
        assert time.monotonic() < until, found
        time.sleep(0.1)
    copy = client.get(f"/ui/recordings/{made['id']}/sound").content
    with av.open(BytesIO(copy)) as opened:
        assert opened.duration is not None
        assert abs(opened.duration / av.time_base - length_s) < 0.05
        assert opened.streams.audio[0].codec_context.channels == 2
    client.delete(f"/ui/recordings/{made['id']}")


def encoded(container: str, codec: str, options: dict[str, str]) -> bytes:
    """The clip in two channels, in a container that nothing can be looked up in."""
    samples, rate = sounds.samples()
    into = Unseekable()
    with av.open(into, "w", format=container, options=options) as opened:
        stream = opened.add_stream(codec, rate=48_000 if codec == "libopus" else 16_000)
        stream.layout = "stereo"
        if container == "mp3":
            stream.codec_context.options = {"q": "5"}
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format.name, "stereo", stream.rate)
        for each in (frame, None):
            for some in resampler.resample(each):
                opened.mux(stream.encode(some))
        opened.mux(stream.encode(None))
    return bytes(into.body)


class Unseekable:
    """A file that can only be written on, as a pipe is."""

    def __init__(self) -> None:
        self.body = bytearray()

    def write(self, some: bytes) -> int:
        """Append."""
        self.body += some
        return len(some)
