"""Live streams against the real server: the protocol, the limits, and the order of waiting."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import sounds
from asr.bench import Bench
from asr.process import PATIENCE_S, Server, start
from glagol.asr.live.limits import Streams
from glagol.core.errors import CODES
from glagol.registry.registry import Registry
from glagol.speech import Options, Recognizer
from glagol.speech.output.formats import as_data
from speech import made

ROOT = Path(__file__).resolve().parents[3]
FINISH = '{"type":"finish"}'
Message = dict[str, Any]
Talk = Callable[[ClientConnection], Coroutine[Any, Any, Any]]


def recording() -> bytes:
    """The clip twice, two seconds of silence after each, as a 16 kHz WAV file."""
    data, rate = sounds.samples()
    once = np.concatenate([data, np.zeros(2 * rate, np.float32)])
    whole = np.tile(once, 2)
    at = np.arange(0, len(whole) / rate, 1 / 16_000)
    return sounds.wav(np.interp(at, np.arange(len(whole)) / rate, whole).astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def transcribe_file(home: Path) -> Callable[[bytes], Message]:
    """What the engine writes for a whole file, where voice activity always decides."""
    recognizer = Recognizer.open(Registry.load(home))

    def transcribed(data: bytes) -> Message:
        found = recognizer.transcribe(io.BytesIO(data), options=Options(short_audio_s=0.0))
        message: Message = json.loads(json.dumps(as_data(found)))
        return message

    return transcribed


def talk(server: Server, conversation: Talk, **options: Any) -> Any:
    """One conversation with the server."""

    async def run() -> Any:
        url = server.url.replace("http", "ws", 1) + "/v1/stream"
        async with connect(url, proxy=None, open_timeout=PATIENCE_S, **options) as socket:
            return await conversation(socket)

    return asyncio.run(run())


async def rest(socket: ClientConnection) -> tuple[list[Message], int]:
    """The remaining messages and the code of the close."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S)))
    except ConnectionClosed:
        return messages, socket.close_code or 0


def sent(parts: list[str | bytes]) -> Talk:
    """Send everything, then read everything."""

    async def conversation(socket: ClientConnection) -> tuple[list[Message], int]:
        try:
            for part in parts:
                await socket.send(part)
        except ConnectionClosed:
            pass
        return await rest(socket)

    return conversation


def pieces(data: bytes, size: int) -> list[str | bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def of(kind: str, messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["type"] == kind]


@pytest.mark.parametrize("size", [3_201, 100_000])
def test_the_finals_are_the_transcript_of_the_file(
    server: Server, transcribe_file: Callable[[bytes], Message], size: int
) -> None:
    """Whatever the messages; no start is needed for raw 16 kHz samples."""
    raw = recording()[44:]
    messages, code = talk(server, sent([*pieces(raw, size), FINISH]))
    assert code == 1000
    assert (messages[0]["type"], messages[-1]["type"]) == ("ready", "done")
    expected = transcribe_file(recording())
    finals = [message["segment"] for message in of("final", messages)]
    assert finals == expected["segments"]
    assert " ".join(segment["text"] for segment in finals) == expected["text"]
    done = messages[-1]
    assert done["coverage"] == expected["coverage"]
    assert done["duration"] == expected["duration"]
    digest = hashlib.sha256(raw).hexdigest()
    assert done["provenance"] == {**expected["provenance"], "audio_sha256": digest}
    line = server.request(messages[0]["request_id"])
    assert (line["path"], line["status"], line["close"]) == ("/v1/stream", 101, 1000)
    assert line["audio_s"] == expected["duration"]
    assert line["audio_sha256"] == digest
    assert expected["segments"][0]["text"] not in server.log.read_text()


@pytest.mark.parametrize("form", ["ogg", "webm"])
def test_opus_is_read_while_it_arrives(
    server: Server, transcribe_file: Callable[[bytes], Message], form: str
) -> None:
    data, rate = sounds.samples()
    at = np.arange(0, len(data) / rate, 1 / 48_000)
    sound = np.interp(at, np.arange(len(data)) / rate, data).astype(np.float32)
    file = made.encoded(sound, 48_000, form, "libopus")
    hello = json.dumps({"type": "start", "encoding": form, "word_timestamps": False})
    messages, code = talk(server, sent([hello, *pieces(file, 999), FINISH]))
    assert code == 1000, messages
    found = [message["segment"] for message in of("final", messages)]
    expected = transcribe_file(file)["segments"]
    assert [{**segment, "words": []} for segment in expected] == found
    assert found


def test_partials_come_during_speech(server: Server) -> None:
    """And none when they are not wanted."""
    raw = recording()[44:]

    async def conversation(socket: ClientConnection) -> list[Message]:
        messages: list[Message] = []
        for piece in pieces(raw[: 16_000 * 2 * 9], 16_000):
            await socket.send(piece)
            while not of("partial", messages):
                try:
                    messages.append(json.loads(await asyncio.wait_for(socket.recv(), 0.5)))
                except TimeoutError:
                    break
        await socket.send(FINISH)
        return [*messages, *(await rest(socket))[0]]

    messages = talk(server, conversation)
    guess = of("partial", messages)[0]
    assert guess["text"]
    assert 0 <= guess["start"] <= guess["end"]
    quiet = '{"type":"start","partials":false,"language":"ru_RU"}'
    messages, _ = talk(server, sent([quiet, *pieces(raw, 16_000), FINISH]))
    assert of("ready", messages)[0]["language"] == "ru"  # in any form, as on every route
    assert not of("partial", messages)
    assert of("final", messages)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("request_invalid", ["hello"]),
        ("request_invalid", ['{"type":"begin"}']),
        ("request_invalid", ['{"type":"start","colour":"red"}']),
        ("request_invalid", ['{"type":"start","encoding":"mp3"}']),
        ("request_invalid", ['{"type":"start","rate":100}']),
        ("request_invalid", [b"\0" * 3200, '{"type":"start"}']),
        ("request_invalid", [b"\0" * ((1 << 20) + 1)]),
        ("model_unknown", ['{"type":"start","model":"whisper-9"}']),
        ("option_invalid", ['{"type":"start","model":"silero-vad"}']),
        ("option_invalid", ['{"type":"start","language":"xx"}']),
        ("audio_empty", [FINISH]),
        ("audio_empty", [b"\0", FINISH]),
        ("audio_unreadable", ['{"type":"start","encoding":"webm"}', b"no sound" * 99, FINISH]),
    ],
)
def test_what_is_wrong_is_the_last_message(
    server: Server, code: str, parts: list[str | bytes]
) -> None:
    """A code of the table, a remedy, and a close that says the same in a number."""
    messages, closed = talk(server, sent(parts))
    error = messages[-1]["error"]
    assert error["code"] == code, error
    assert error["message"]
    assert error["remedy"]
    assert closed == 4000 + CODES[code].http_status
    assert server.request(error["request_id"])["code"] == code


def test_silence_has_no_finals_but_an_end(server: Server) -> None:
    messages, code = talk(server, sent([b"\0" * 320_000, FINISH]))
    assert [message["type"] for message in messages] == ["ready", "done"]
    assert code == 1000
    assert messages[-1]["coverage"] == {"decoded": 0.0, "dropped": 10.0}


def test_a_client_that_leaves_frees_its_place(server: Server) -> None:
    """Its share is taken, one more is refused, and all are free again afterwards."""
    share = 10  # of STREAMS_MAX, for one address alone

    async def conversation(first: ClientConnection) -> None:
        url = server.url.replace("http", "ws", 1) + "/v1/stream"
        others = [await connect(url, proxy=None) for _ in range(share - 1)]
        await first.send(b"\0" * 32_000)  # this one is under way
        assert json.loads(await first.recv())["type"] == "ready"
        async with connect(url, proxy=None) as late:
            messages, code = await rest(late)
        with server.client() as client:
            assert f"asr_streams {share}.0" in client.get("/metrics").text
        assert messages[-1]["error"]["code"] == "share_used"
        assert code == 4000 + CODES["share_used"].http_status
        for socket in others:
            socket.transport.abort()

    talk(server, conversation, additional_headers={"x-request-id": "the-first-one"})
    assert server.request("the-first-one")["code"] == "cancelled"
    for _ in range(100):  # an aborted connection is noticed a moment later
        messages, code = talk(server, sent([b"\0" * 32_000, FINISH]))
        if code == 1000:
            return
    pytest.fail(f"no place became free: {messages}")


def test_the_server_ends_its_streams_when_it_stops(home: Path, tmp_path: Path) -> None:
    server = start(home, tmp_path / "scratch")

    async def conversation(socket: ClientConnection) -> tuple[list[Message], int]:
        await socket.send(b"\0" * 32_000)
        assert json.loads(await socket.recv())["type"] == "ready"
        server.process.terminate()
        return await rest(socket)

    messages, code = talk(server, conversation)
    assert messages[-1]["error"]["code"] == "not_ready"
    assert code == 4503
    assert server.stop() == 0


def test_the_example_client_writes_the_finals(
    server: Server, transcribe_file: Callable[[bytes], Message], tmp_path: Path
) -> None:
    """The bundled clip, as fast as it goes."""
    file = tmp_path / "clip.wav"
    file.write_bytes(recording())
    url = server.url.replace("http", "ws", 1) + "/v1/stream"
    program = str(ROOT / "examples/stream.py")
    command = [sys.executable, program, str(file), "--url", url, "--speed", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        s["text"] for s in transcribe_file(recording())["segments"]
    ]
    assert '"audio_sha256"' in result.stderr


def exchanged(bench: Bench, incoming: list[Message]) -> list[Message]:
    """What the application answers to these ASGI messages; then nothing more comes."""
    outgoing: list[Message] = []

    async def run() -> None:
        waiting = [{"type": "websocket.connect"}, *incoming]

        async def receive() -> Message:
            if not waiting:
                await asyncio.sleep(PATIENCE_S)
            return waiting.pop(0)

        async def send(message: Message) -> None:
            outgoing.append(message)

        scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "path": "/v1/stream",
            "raw_path": b"/v1/stream", "query_string": b"", "root_path": "", "subprotocols": [],
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("x", 1),
            "scheme": "ws",
        }  # fmt: skip
        await bench.app(scope, receive, send)

    asyncio.run(run())
    return outgoing


def test_a_silent_client_gets_an_error_and_is_closed(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.streams = Streams(most=1, idle_s=0.05)
    for _ in range(2):  # its place is free again
        accepted, error, close = exchanged(bench, [])
        assert dict(accepted["headers"])[b"x-request-id"]
        assert json.loads(error["text"])["error"]["code"] == "request_invalid"
        assert close["code"] == 4400
        assert close["reason"] == "request_invalid"


def test_a_stream_waits_for_its_turn_to_be_admitted(make_bench: Callable[..., Bench]) -> None:
    """What the engine refuses is sent, too."""
    bench = make_bench(queue_size=1)
    bench.service.engine.queue.close()
    *_, error, close = exchanged(bench, [{"type": "websocket.receive", "bytes": b"\0" * 320}])
    assert json.loads(error["text"])["error"]["code"] == "not_ready"
    assert close["code"] == 4503


def test_a_browser_gives_its_key_as_a_protocol(server: Server) -> None:
    """Keys are off here: the protocol that is no key is taken, as browsers want it."""

    async def conversation(socket: ClientConnection) -> str | None:
        await socket.send(FINISH)
        await rest(socket)
        return socket.subprotocol

    offered = ["glagol", "glagol.key.glagol_not-asked-for"]
    assert talk(server, conversation, subprotocols=offered) == "glagol"
    assert talk(server, conversation) is None
