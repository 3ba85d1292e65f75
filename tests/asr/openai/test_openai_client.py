"""OpenAI's own client against the real server, the real model and real audio."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

import sounds
from asr.process import PATIENCE_S, Server
from homes import MODEL, OTHER


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="not needed", base_url=f"{server.url}/v1", timeout=PATIENCE_S, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="module")
def text(server: Server) -> str:
    """The transcript of our own route for the clip."""
    with server.client() as http:
        return str(http.put("/v1/transcribe", content=sounds.clip()).json()["data"]["text"])


def file() -> tuple[str, bytes]:
    """The clip as the client takes it."""
    return ("запись.wav", sounds.clip())


def test_models(client: openai.OpenAI) -> None:
    """Listed and one by one, by id and alias."""
    assert {MODEL, OTHER} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("ai-sage/none")
    assert caught.value.code == "model_unknown"


def test_json_and_text_are_the_same_text(client: openai.OpenAI, text: str) -> None:
    """And that of our own route; whisper-1 is the default, and says so."""
    create = client.audio.transcriptions.create
    for model in (MODEL, "whisper-1"):
        answer = create(file=file(), model=model, language="ru", temperature=0)
        assert answer.text == text
        assert answer.usage is not None
        assert answer.to_dict()["provenance"]["model"] == MODEL  # type: ignore[index]
    assert create(file=file(), model=MODEL, response_format="text") == f"{text}\n"


def test_verbose_json(client: openai.OpenAI, text: str) -> None:
    """Segments and words inside the duration, words in the order of the text."""
    answer = client.audio.transcriptions.create(
        file=file(),
        model=MODEL,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert answer.text == text
    assert answer.language == "ru"
    assert answer.words is not None
    assert answer.segments is not None
    assert [word.word for word in answer.words] == text.split()
    assert " ".join(segment.text for segment in answer.segments) == text
    times = [t for word in answer.words for t in (word.start, word.end)]
    assert times[0] >= 0
    assert times == sorted(times)
    assert times[-1] <= answer.duration
    plain = client.audio.transcriptions.create(
        file=file(), model=MODEL, response_format="verbose_json"
    )
    assert plain.words is None
    assert plain.segments


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles(client: openai.OpenAI, form: str, text: str) -> None:
    """With every word of the text."""
    answer = str(
        client.audio.transcriptions.create(
            file=file(),
            model=MODEL,
            response_format=form,  # type: ignore[call-overload]
        )
    )
    assert "-->" in answer
    lines = [line for line in answer.splitlines() if line.strip("0123456789") and "-->" not in line]
    assert " ".join(line for line in lines if line != "WEBVTT") == text
    assert all(len(line) <= 42 for line in lines)


def test_a_stream_adds_up(client: openai.OpenAI) -> None:
    """Several deltas of long audio, while it is transcribed; their sum is the answer's text."""
    audio = sounds.long_speech(60)
    plain = client.audio.transcriptions.create(file=("a.wav", audio), model=MODEL)
    stream = client.audio.transcriptions.create(file=("a.wav", audio), model=MODEL, stream=True)
    *deltas, done = list(stream)
    assert done.type == "transcript.text.done"
    assert len(deltas) >= 2
    text = "".join(event.delta for event in deltas if event.type == "transcript.text.delta")
    assert text == done.text == plain.text


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    """Its exception classes, with our code and the field."""
    create = client.audio.transcriptions.create
    with pytest.raises(openai.BadRequestError) as refused:
        create(file=file(), model=MODEL, prompt="Екатерина")
    assert (refused.value.code, refused.value.param) == ("option_invalid", "prompt")
    with pytest.raises(openai.NotFoundError) as unknown:
        create(file=file(), model="gpt-4o-transcribe")
    assert unknown.value.code == "model_unknown"
    data, code = sounds.BAD["text"]
    with pytest.raises(openai.APIStatusError) as unreadable:
        create(file=("a.wav", data), model=MODEL)
    assert (unreadable.value.status_code, unreadable.value.code) == (415, code)
    with pytest.raises(openai.APIStatusError) as cut:
        list(create(file=("a.wav", sounds.not_finite()), model=MODEL, stream=True))
    assert cut.value.code == "audio_not_finite"


def test_what_a_recording_lacks_stands_beside_openais_fields(client: openai.OpenAI) -> None:
    """In each of its JSON forms and at the end of a stream; strict is a field of our own."""
    create, half = client.audio.transcriptions.create, ("a.wav", sounds.truncated())
    for form in ("json", "verbose_json"):
        fields = create(file=half, model=MODEL, response_format=form).model_dump()
        assert (fields["complete"], fields["warnings"][0]["code"]) == (False, "audio_truncated")
    *_, last = create(file=half, model=MODEL, stream=True)
    assert last.model_dump()["warnings"][0]["code"] == "audio_truncated"
    with pytest.raises(openai.APIStatusError) as refused:
        create(file=half, model=MODEL, extra_body={"strict": "true"})
    assert refused.value.code == "audio_truncated"
    with pytest.raises(openai.BadRequestError) as absent:
        create(file=file(), model=MODEL, extra_body={"track": "1"})
    assert absent.value.code == "option_invalid"


def test_a_client_that_leaves_its_stream_frees_the_model(
    server: Server, client: openai.OpenAI
) -> None:
    """Closed after the first delta of twenty minutes: most of the rest is never encoded.

    Counted in windows of the encoder, which are the same on every machine, not in seconds.
    """
    create = client.audio.transcriptions.create

    def named(name: str) -> dict[str, str]:
        return {"X-Request-ID": name}

    before = _windows(server)
    create(file=("a.wav", sounds.long_speech(60)), model=MODEL)
    minute = _windows(server) - before
    stream = create(
        file=("a.wav", sounds.long_speech(1200)),
        model=MODEL,
        stream=True,
        extra_headers=named("stream-disconnect"),
    )
    next(iter(stream))
    stream.close()
    assert create(file=file(), model=MODEL).text
    assert server.request("stream-disconnect")["code"] == "cancelled"
    assert "provenance" not in server.request("stream-disconnect")
    assert 0 < minute < _windows(server) - before < 15 * minute


def _windows(server: Server) -> float:
    """How many windows the encoder was given since the server began."""
    with server.client() as http:
        text = http.get("/metrics").text
    families = text_string_to_metric_families(text)
    named = [each for family in families for each in family.samples]
    (found,) = [each.value for each in named if each.name == "asr_encoder_windows_total"]
    return found


def test_metrics_tell_what_serves(server: Server) -> None:
    """The model, its variant and the work, from the real process."""
    with server.client() as http:
        http.put("/v1/transcribe", content=sounds.clip())
        answer: httpx.Response = http.get("/metrics")
    samples = {
        sample.name: sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["asr_model_info"].labels["id"] == MODEL
    assert samples["asr_model_info"].labels["provider"] == "cpu"
    assert samples["asr_audio_seconds_total"].value > 1
    assert samples["asr_work_seconds_sum"].value > 0
    assert samples["process_resident_memory_bytes"].value > 1 << 24
