"""OpenAI's route up to the model: fields, refusals, error bodies, formats, events."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sounds
from asr.bench import Bench, make
from glagol.asr.openai import streaming, transcriptions
from glagol.asr.openai.streaming import EventBuffer
from glagol.core.errors import CODES, HostError, InputError
from glagol.registry.manifest import edit
from glagol.speech.types import Segment
from glagol.web import envelope

URL = "/v1/audio/transcriptions"
TRANSLATE = "/v1/audio/translations"
SOUND = sounds.silence(0.2)


def ask(bench: Bench, **fields: Any) -> httpx.Response:
    """One request with a file."""
    return bench.send("POST", URL, files={"file": ("запись.wav", SOUND)}, data=fields)


def error(answer: httpx.Response, code: str, param: str | None) -> envelope.OpenaiError:
    """The error of OpenAI's body, with the status that the table gives its code."""
    body = msgspec.json.decode(answer.content, type=envelope.OpenaiFailure).error
    assert (body.code, body.param) == (code, param)
    assert answer.status_code == (CODES[code].http_status if code in CODES else 500)
    assert body.message
    return body


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_formats(bench: Bench) -> None:
    """Each with its media type and OpenAI's fields, the real model named in all of them."""
    bench.stub.texts = ("да", "нет")
    plain = ask(bench, model="whisper-1").json()
    assert set(plain) == {"text", "usage", "complete", "warnings", "provenance"}
    assert plain["text"] == "да нет"
    assert plain["usage"] == {"type": "duration", "seconds": 2.0}
    assert plain["provenance"]["model"] == "tiny"
    verbose = ask(bench, response_format="verbose_json", model="ai-sage/Tiny").json()
    assert (verbose["task"], verbose["language"], verbose["duration"]) == ("transcribe", "ru", 2.0)
    assert verbose["segments"][1] == {
        "id": 1, "start": 1.0, "end": 2.0, "text": "нет", "temperature": 0.0
    }  # fmt: skip
    assert "words" not in verbose
    for form, text in (("text", "да нет\n"), ("srt", "1\n00:00"), ("vtt", "WEBVTT")):
        answer = ask(bench, response_format=form)
        assert answer.text.startswith(text)
        assert answer.headers["glagol-model"] == "tiny"
        assert not answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("given_", [["word"], ["segment"], ["word", "segment"], ["segment"] * 2])
def test_granularities(bench: Bench, given_: list[str]) -> None:
    """One or both, and only what was asked for."""
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": given_}
    answer = ask(bench, **fields).json()
    assert {"words", "segments"} & set(answer) == {f"{name}s" for name in given_}
    if "word" in given_:
        assert answer["words"] == [{"word": "да", "start": 0.0, "end": 1.0}]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": "Екатерина"}, "option_invalid", "prompt"),
        ({"temperature": "0.2"}, "option_invalid", "temperature"),
        ({"temperature": "warm"}, "option_invalid", "temperature"),
        ({"temperature": "nan"}, "option_invalid", "temperature"),
        (
            {"response_format": "diarized_json", "stream": "true"},
            "option_invalid",
            "response_format",
        ),
        (
            {"response_format": "diarized_json", "num_speakers": "0"},
            "option_invalid",
            "num_speakers",
        ),
        ({"num_speakers": "2"}, "option_invalid", "num_speakers"),
        ({"response_format": "srt", "stream": "true"}, "option_invalid", "response_format"),
        ({"stream": "perhaps"}, "option_invalid", "stream"),
        ({"language": "en"}, "option_invalid", "language"),
        ({"include[]": ["logprobs"]}, "option_invalid", "include"),
        ({"chunking_strategy": "server_vad"}, "option_invalid", "chunking_strategy"),
        ({"known_speaker_names[]": ["a", "b"]}, "option_invalid", "known_speaker_names"),
        ({"timestamp_granularities[]": ["word"]}, "option_invalid", "timestamp_granularities"),
        (
            {"timestamp_granularities[]": ["letter"], "response_format": "verbose_json"},
            "option_invalid",
            "timestamp_granularities",
        ),
        ({"colour": "red"}, "option_invalid", "colour"),
        ({"model[]": ["tiny", "other"]}, "option_invalid", "model"),
        ({"model": ["tiny", "tiny"]}, "request_invalid", "model"),
        ({"model": "voice"}, "option_invalid", "model"),
        ({"model": "gpt-4o-transcribe"}, "model_unknown", "model"),
    ],
)
def test_refusals_name_the_field(
    bench: Bench, fields: dict[str, Any], code: str, param: str | None
) -> None:
    """With a type of OpenAI's, and the model never gets it."""
    assert error(ask(bench, **fields), code, param).type == "invalid_request_error"
    assert bench.stub.calls == []


@pytest.mark.parametrize("language", ["ru-RU", "RU", "ru_RU", "rus", "Russian", "auto", ""])
def test_languages_are_understood_in_any_form(bench: Bench, language: str) -> None:
    """The model gets its own word for each of them."""
    assert ask(bench, language=language).status_code == 200
    assert bench.stub.calls[0][1].language == "ru"


def test_a_preset_may_be_called_whisper_1(bench: Bench) -> None:
    """A model of that name serves; without one the default does, as the other tests show."""
    registry = bench.service.registry
    moved = dataclasses.replace(
        registry, manifest=edit.preset(registry.manifest, "other", "whisper-1")
    )
    asked = {"model": ["whisper-1"]}
    assert transcriptions.read(asked, moved, "tiny").model.id == "other"
    assert transcriptions.read(asked, registry, "tiny").model.id == "tiny"


def test_keywords_are_phrases(bench: Bench) -> None:
    """OpenAI's name for them, a part of the form each."""
    fields = [("keywords[]", (None, f"слово{'а' * number}")) for number in range(1, 101)]
    answer = bench.send("POST", URL, files=[("file", SOUND), *fields])
    assert answer.status_code == 200
    assert len(bench.stub.calls[0][1].phrases) == 100
    answer = bench.send("POST", URL, files=[("file", SOUND), ("model", (None, "many")), *fields])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "keywords")


def test_prompt_and_temperature_reach_a_model_that_takes_them(bench: Bench) -> None:
    """And are refused by name above what it takes."""
    asked = {"model": "many", "prompt": "Екатерина", "temperature": "0.4", "window": "full"}
    assert ask(bench, **asked).status_code == 200
    options = bench.stub.calls[0][1]
    assert (options.prompt, options.temperature) == ("Екатерина", 0.4)
    assert (options.window, options.task) == ("full", "transcribe")
    for wrong in ("1.5", "-0.1", "nan"):
        error(ask(bench, model="many", temperature=wrong), "option_invalid", "temperature")
    error(ask(bench, model="many", window="half"), "option_invalid", "window")


def translate(bench: Bench, **fields: Any) -> httpx.Response:
    """One request for English text."""
    return bench.send("POST", TRANSLATE, files={"file": ("запись.wav", SOUND)}, data=fields)


@pytest.mark.parametrize("model", ["", "whisper-1", "many", "whisper"])
def test_a_translation_is_made_by_a_model_that_can(
    bench: Bench, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of these tests cannot, so another one serves where none is named."""
    monkeypatch.setattr(transcriptions, "state_of", lambda *_: "present")
    answer = translate(bench, model=model, response_format="verbose_json", prompt="Екатерина")
    assert answer.headers["glagol-model"] == "many"
    assert answer.json()["task"] == "translate"
    options = bench.stub.calls[0][1]
    assert (options.task, options.language, options.prompt) == ("translate", "auto", "Екатерина")
    assert translate(bench, model="many", language="ru").status_code == 200
    assert bench.stub.calls[1][1].language == "ru"


def test_without_a_model_that_translates_the_task_is_refused(bench: Bench) -> None:
    """A model that could, but is not in the store, does not serve."""
    error(translate(bench), "option_invalid", "model")


@pytest.mark.parametrize("model", ["tiny", "english"])
def test_a_model_that_cannot_translate_is_refused(
    make_bench: Callable[..., Bench], model: str
) -> None:
    """A lenient server, too: it would give another text than the one that was asked for."""
    for bench in (make_bench(), make_bench(openai_lenient="on")):
        found = error(translate(bench, model=model), "option_invalid", "model")
        assert "does not translate" in found.message
        assert bench.stub.calls == []


def test_a_lenient_server_leaves_out_what_it_lacks(make_bench: Callable[..., Bench]) -> None:
    """It lists that, in letters that no header breaks on; a language is not left out."""
    bench = make_bench(openai_lenient="on")
    fields = {
        "user": "me", "prompt": "Екатерина", "temperature": "0.2", "include[]": ["logprobs"],
        "model": "gpt-4o\r\nset-cookie: a", "язык": "да", "chunking_strategy": "",
    }  # fmt: skip
    answer = ask(bench, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["glagol-ignored"].split(", ") == [
        "user", "include", "????", "model=gpt-4o??set-cookie:?a", "prompt", "temperature"
    ]  # fmt: skip
    assert answer.headers["glagol-model"] == "tiny"
    assert "set-cookie" not in answer.headers
    options = bench.stub.calls[0][1]
    assert (options.prompt, options.temperature) == ("", 0.0)
    assert "glagol-ignored" not in ask(bench).headers
    error(ask(bench, language="xx"), "option_invalid", "language")
    error(ask(bench, response_format="docx?"), "option_invalid", "response_format")


def test_empty_fields_are_not_given(bench: Bench) -> None:
    """As forms of browsers and some tools send them."""
    fields = {"prompt": "", "language": "", "temperature": "0", "model": "", "stream": "false"}
    assert ask(bench, **fields).status_code == 200


def test_errors_of_the_body_and_the_route(make_bench: Callable[..., Bench]) -> None:
    """Size, sound, method, query, queue: all in OpenAI's shape."""
    bench = make_bench(max_upload_bytes=10_000, queue_size=1)
    error(bench.send("POST", URL, files={"file": b"x" * 20_000}), "upload_too_large", "file")
    error(bench.send("POST", URL, files={"file": b"no sound"}), "audio_unreadable", "file")
    error(bench.send("POST", URL, files={"file": b""}), "audio_empty", "file")
    error(bench.send("POST", URL, content=b"x"), "request_invalid", None)
    error(bench.send("POST", f"{URL}?stream=true", files={"file": SOUND}), "option_invalid",
          "stream")  # fmt: skip
    wrong = bench.send("GET", URL)
    assert wrong.status_code == 405
    assert wrong.json()["error"]["type"] == "invalid_request_error"
    bench.stub.error = ValueError("secret detail")
    internal = error(ask(bench), "internal", None)
    assert internal.type == "server_error"
    assert "secret" not in internal.message


def test_a_full_queue_is_a_rate_limit(make_bench: Callable[..., Bench]) -> None:
    """429 with Retry-After; a stream that waits or runs ends when its client leaves."""
    bench = make_bench(queue_size=1)
    bench.stub.gate.clear()

    def post(client: httpx.AsyncClient, **fields: str) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(client.post(URL, files={"file": SOUND}, data=fields))

    async def many(client: httpx.AsyncClient) -> None:
        running = post(client, stream="true")
        while not bench.stub.entered.is_set():
            await asyncio.sleep(0.01)
        waiting = post(client, stream="true")
        while not len(bench.service.engine.queue):
            await asyncio.sleep(0.01)
        refused = await post(client, stream="true")
        assert error(refused, "queue_full", None).type == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        waiting.cancel()
        while len(bench.service.engine.queue):
            await asyncio.sleep(0.01)
        running.cancel()
        while not bench.stub.cancelled.is_set():
            await asyncio.sleep(0.01)
        bench.stub.gate.set()
        assert (await post(client)).status_code == 200

    bench.run(many)


@pytest.mark.parametrize("form", ["json", "text", "verbose_json"])
def test_deltas_add_up_to_the_text(bench: Bench, form: str) -> None:
    """Events in order, the last one with the whole."""
    bench.stub.texts = ("раз", "два три", "четыре")
    *deltas, done = events(ask(bench, stream="true", response_format=form))
    assert deltas
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"] == "раз два три четыре"
    assert done["provenance"]["model"] == "tiny"
    assert ("segments" in done) == (form == "verbose_json")


def test_an_error_after_the_first_text_is_an_event(bench: Bench) -> None:
    """The status is sent already; the code is in the event, a bug tells nothing."""
    bench.stub.error = InputError("audio_truncated", "it ends in the middle", "send all of it")
    first, last = events(ask(bench, stream="true"))
    assert first["delta"] == "да"
    assert last["error"]["code"] == "audio_truncated"
    assert last["error"]["param"] == "file"
    bench.stub.error = ValueError("secret detail")
    assert "secret" not in ask(bench, stream="true").text


def test_a_stream_that_waits_stays_alive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments keep proxies from closing the connection."""
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.02)
    bench.stub.gate.clear()

    async def scene(client: httpx.AsyncClient) -> httpx.Response:
        asyncio.get_running_loop().call_later(0.2, bench.stub.gate.set)
        return await client.post(URL, files={"file": SOUND}, data={"stream": "true"})

    answer = bench.run(scene)
    assert ": the model is busy" in answer.text
    assert events(answer)[-1]["type"] == "transcript.text.done"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text("абв", min_size=1, max_size=3), st.booleans()), max_size=12))
def test_the_mailbox_loses_nothing(steps: list[tuple[str, bool]]) -> None:
    """Whenever it is emptied, what was taken is the segments joined by spaces."""

    async def run() -> str:
        box, taken = EventBuffer(asyncio.get_running_loop()), ""
        for text, take in steps:
            box.put(Segment(0.0, 1.0, text))
            taken += box.take() if take else ""
        return taken + box.take()

    assert asyncio.run(run()) == " ".join(text for text, _ in steps)


def test_a_reader_that_stands_still_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unread text has a bound."""
    monkeypatch.setattr(streaming, "UNREAD_CHARACTERS_MAX", 5)

    async def run() -> None:
        box = EventBuffer(asyncio.get_running_loop())
        box.put(Segment(0.0, 1.0, "12345"))
        box.take()
        box.put(Segment(0.0, 1.0, "1234"))
        with pytest.raises(HostError, match="too slowly"):
            box.put(Segment(0.0, 1.0, "1"))

    asyncio.run(run())


def test_one_model(bench: Bench) -> None:
    """By id and by an alias with a slash; an unknown one in OpenAI's error body."""
    (listed, *_) = bench.send("GET", "/v1/models").json()["data"]
    for name in ("tiny", "ai-sage/Tiny", "ai-sage%2FTiny"):
        assert bench.send("GET", f"/v1/models/{name}").json() == listed
    error(bench.send("GET", "/v1/models/nosuch"), "model_unknown", "model")


def test_a_model_that_is_not_ready_is_refused_early() -> None:
    """503 in OpenAI's shape with Retry-After."""
    bench = make(trouble=HostError("not_ready", "loading", "wait"))
    answer = ask(bench)
    bench.service.engine.close(5.0)
    assert error(answer, "not_ready", None).type == "server_error"
    assert answer.headers["retry-after"]


def test_the_openapi_document_describes_the_route(bench: Bench) -> None:
    """Form fields and errors."""
    document = bench.send("GET", "/schema/openapi.json").json()
    post = document["paths"][URL]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"file", "model", "stream", "timestamp_granularities[]"} <= set(form["properties"])
    assert {"200", "400", "429", "503"} <= set(post["responses"])
