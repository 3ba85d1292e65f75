"""The real server, the real model, real audio, over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

import sounds
from asr.process import Server, start
from glagol.asr.http import schemas
from glagol.asr.inference.threads import divide, usable
from glagol.asr.server import main as server_main
from glagol.cli.main import main as glagol
from glagol.core.errors import CODES
from glagol.runtime.kernels import amx, choice
from glagol.speech.output.formats import FORMATS
from glagol.web import envelope
from homes import MODEL, OTHER, altered

URL = "/v1/transcribe"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def code(answer: httpx.Response) -> str:
    """The error code, with the status that belongs to it."""
    body = msgspec.json.decode(answer.content, type=envelope.Failure).error
    assert answer.status_code == CODES[body.code].http_status
    return body.code


def test_ready_tells_what_serves(client: httpx.Client) -> None:
    """Verified digests, the provider and the kernels in use, and the known answer."""
    library = choice.library()
    single = library and "MatMul" in choice.operators_of(library)
    data = client.get("/ready").json()["data"]
    assert data["known_answer"] in ("exact", "same words")
    assert data["provenance"]["model"] == MODEL
    assert data["provenance"]["provider"] == "cpu"
    assert all(len(digest) == 64 for digest in data["provenance"]["artifacts"].values())
    assert data["provenance"]["kernels_sha256"] == (amx.sha256_of(library) if single else None)


def test_speech_becomes_the_envelope(client: httpx.Client, server: Server) -> None:
    """POST = PUT = the same bytes ten times; words inside segments inside the audio."""
    first = client.post(URL, files={"file": ("запись.wav", sounds.clip())})
    assert first.status_code == 200, first.text
    data = msgspec.json.decode(first.content, type=schemas.Envelope).data
    assert len(data.text.split()) >= 4
    assert data.coverage.decoded + data.coverage.dropped == pytest.approx(data.duration, abs=0.002)
    for segment in data.segments:
        times = [t for word in segment.words for t in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= segment.start <= times[0] <= times[-1] <= segment.end <= data.duration
    for _ in range(5):
        assert client.put(URL, content=sounds.clip()).content == first.content
    line = server.request(first.headers["x-request-id"])
    assert line["provenance"]["artifacts"] == data.provenance["artifacts"]
    assert data.text.split()[0] not in server.log.read_text()
    assert "запись" not in server.log.read_text()


def test_cli_writes_the_data_of_http(
    client: httpx.Client, home: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Byte for byte, for short audio and for audio that goes through voice detection."""
    for name, audio in (("short", sounds.clip()), ("long", sounds.long_speech(35))):
        answer = client.put(URL, content=audio).content
        path = tmp_path / f"{name}.wav"
        path.write_bytes(audio)
        assert glagol(["transcribe", "--format", "json", "--home", str(home), str(path)]) == 0
        printed = capfdbinary.readouterr().out
        assert envelope.success(printed.rstrip(b"\n")) == answer
        vad = json.loads(printed)["provenance"]["vad"]
        assert (vad is None) == (name == "short")


@pytest.mark.parametrize("name", sounds.BAD)
def test_what_people_send_by_mistake(client: httpx.Client, name: str) -> None:
    """Each with its code, by POST and by PUT."""
    data, expected = sounds.BAD[name]
    assert code(client.put(URL, content=data)) == expected
    assert code(client.post(URL, files={"file": (f"{name}.wav", data)})) == expected


def test_what_is_left_of_a_file_is_transcribed(client: httpx.Client) -> None:
    """A header that promises more than there is: a warning in every format, refused with strict."""
    half = sounds.truncated()
    data = client.put(URL, content=half).json()["data"]
    (warning,) = data["warnings"]
    assert (warning["code"], data["complete"]) == ("audio_truncated", False)
    assert warning["at_s"] == pytest.approx(data["duration"], abs=0.001)
    assert warning["missing_s"] == pytest.approx(data["duration"], abs=0.01)
    assert data["text"]
    place = f"audio_truncated;at={warning['at_s']:.3f};missing={warning['missing_s']:.3f}"
    for form in set(FORMATS) - {"rttm"}:  # it needs the model of speakers
        answer = client.put(f"{URL}?format={form}", content=half)
        assert answer.headers["glagol-warnings"] == place
        assert (
            "glagol-warnings"
            not in client.put(f"{URL}?format={form}", content=sounds.clip()).headers
        )
    assert code(client.put(f"{URL}?strict=true", content=half)) == "audio_truncated"
    whole = client.put(f"{URL}?strict=true", content=sounds.clip()).json()["data"]
    assert (whole["complete"], whole["warnings"]) == (True, [])


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (96_000, 1), (16_000, 7)])
def test_other_rates_and_channels_are_speech_too(
    client: httpx.Client, rate: int, channels: int
) -> None:
    """Telephone, studio and microphone array give words in the same place."""
    answer = client.put(URL, content=sounds.resampled(rate, channels))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]["text"].split()) >= 2


def test_silence_is_an_empty_transcript(client: httpx.Client) -> None:
    """Silence is not an error: short it may be nothing or little, long it is dropped."""
    answer = client.put(URL, content=sounds.silence(40)).json()["data"]
    assert answer["text"] == ""
    assert answer["segments"] == []
    assert answer["coverage"]["dropped"] == answer["duration"] == 40


def test_three_gigabytes_are_refused_by_their_length(server: Server) -> None:
    """The answer comes before a byte of the body was sent."""
    place = urlsplit(server.url)
    for method in ("PUT", "POST"):
        raw = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        raw.putrequest(method, URL)
        raw.putheader("Content-Length", str(3 << 30))
        raw.putheader("Content-Type", "multipart/form-data; boundary=x")
        raw.endheaders()
        answer = raw.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["code"] == "upload_too_large"
        raw.close()


def test_a_large_upload_costs_no_memory(server: Server, client: httpx.Client) -> None:
    """200 MB around the clip, without a length: few MiB more, and nothing on disk afterwards."""
    client.put(URL, content=sounds.clip())
    before = server.peak_rss_bytes()
    answer = client.put(URL, content=_padded(200 << 20))
    assert answer.status_code == 200, answer.text
    assert server.request(answer.headers["x-request-id"])["size_bytes"] > 200 << 20
    assert server.peak_rss_bytes() - before < 24 << 20
    assert not list(server.scratch.iterdir())


def test_health_answers_while_the_model_works(server: Server) -> None:
    """The event loop is free, the queue has an end, and every admitted request is served."""
    audio = sounds.long_speech(90)
    answers: list[httpx.Response] = []

    def send() -> None:
        with server.client() as other:
            answers.append(other.put(URL, content=audio))

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    healthy = 0
    with server.client() as client:
        while any(sender.is_alive() for sender in senders):
            healthy += client.get("/health").status_code == 200
            time.sleep(0.02)
    assert healthy >= 3
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(served) >= 3
    assert len({answer.content for answer in served}) == 1
    assert {code(answer) for answer in refused} <= {"queue_full"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_a_dropped_connection_frees_the_model(server: Server, client: httpx.Client) -> None:
    """The client's socket closes in the middle of a long transcription: it ends as cancelled."""
    audio = sounds.long_speech(600)
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port or 0)) as raw:
        head = f"PUT {URL} HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(audio)}\r\n"
        raw.sendall(f"{head}X-Request-ID: disconnect\r\n\r\n".encode() + audio)
        time.sleep(0.3)
    assert client.put(URL, content=sounds.clip()).status_code == 200
    line = server.request("disconnect")
    assert (line["status"], line["code"]) == (499, "cancelled")


def test_a_changed_file_is_refused_at_the_next_open(server: Server, client: httpx.Client) -> None:
    """A model opened later is verified then; the model in service is not touched."""
    default = client.put(URL, content=sounds.clip()).content
    path = altered(server.home, model=OTHER)
    answer = client.put(f"{URL}?model={OTHER}", content=sounds.clip())
    assert code(answer) == "artifact_altered"
    message = answer.json()["error"]["message"]
    assert "encoder.data" in message
    assert path.parent.name + path.name in message
    assert "sha256" in message
    assert client.put(URL, content=sounds.clip()).content == default


def test_sigterm_lets_the_running_work_end(home: Path, tmp_path: Path) -> None:
    """Transcriptions in progress are answered, waiting ones refused, the exit status is 0.

    A short request may have its turn between two chunks before the signal comes, so several wait.
    """
    server = start(home, tmp_path / "scratch", ASR_LOG_LEVEL="debug")
    answers: list[httpx.Response] = []

    def send(name: str, audio: bytes) -> None:
        with server.client() as other:
            answers.append(other.put(URL, content=audio, headers={"X-Request-ID": name}))

    workers = divide(0, usable())[1]
    audio = sounds.long_speech(60)
    senders = [threading.Thread(target=send, args=(f"{at}", audio)) for at in range(workers)]
    for sender in senders:
        sender.start()
    server.wait_for("working", workers)
    waiting = [f"waiting-{at}" for at in range(12)]
    senders += [threading.Thread(target=send, args=(name, sounds.clip())) for name in waiting]
    for sender in senders[workers:]:
        sender.start()
    server.wait_for("queued", len(senders))
    assert server.stop() == 0
    for sender in senders:
        sender.join()
    status = {answer.headers["x-request-id"]: answer.status_code for answer in answers}
    assert [status[f"{at}"] for at in range(workers)] == [200] * workers
    refused = [status[name] for name in waiting]
    assert set(refused) <= {200, 503}
    assert 503 in refused
    assert server.lines("stopped")


def test_wrong_settings_end_the_start(
    home: Path, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit status by the table, one line that names variable, value and range."""
    cases = [
        ({"ASR_PORT": "eighty"}, 2, "ASR_PORT='eighty' is not a whole number 1..65535"),
        ({"ASR_MODEL_NAME": "no-such-model"}, 2, "ASR_MODEL_NAME='no-such-model'"),
        ({"GLAGOL_HOME": "/nowhere"}, 2, "there is no /nowhere/manifest.json"),
        ({"ASR_PORT": server.url.rpartition(":")[2]}, 5, "cannot listen on"),
    ]
    for settings, status, words in cases:
        assert server_main({"GLAGOL_HOME": str(home), **settings}) == status
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        assert words in lines[-1]["message"]
        assert lines[-1]["remedy"]


def _padded(size: int) -> Iterator[bytes]:
    """The clip with an ignored chunk of `size` bytes before its samples, in pieces."""
    clip = sounds.clip()
    yield b"RIFF" + struct.pack("<I", len(clip) + size) + clip[8:12]
    yield b"JUNK" + struct.pack("<I", size)
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield clip[12:]
