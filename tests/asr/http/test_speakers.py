"""Speakers over HTTP: options in range, the model's absence said at once, before the body."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import sounds
from asr.bench import Bench
from asr.process import Server
from glagol.web import envelope

URL = "/v1/transcribe"
SOUND = sounds.silence(0.2)


def refused(bench: Bench, status: int, **params: Any) -> envelope.ErrorBody:
    answer = bench.send("PUT", URL, content=SOUND, params=params)
    assert answer.status_code == status, answer.text
    return msgspec.json.decode(answer.content, type=envelope.Failure).error


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"diarize": "true", "num_speakers": "0"}, "num_speakers=0"),
        ({"diarize": "true", "num_speakers": "99"}, "num_speakers=99"),
        ({"diarize": "true", "num_speakers": "two"}, "num_speakers='two'"),
        ({"diarize": "true", "min_speakers": "-1"}, "min_speakers='-1'"),
        ({"diarize": "true", "min_speakers": "3", "max_speakers": "2"}, "above max_speakers"),
        ({"num_speakers": "2"}, "needs diarize"),
        ({"diarize": "perhaps"}, "is not true or false"),
        ({"diarize": "true", "channel": "split"}, "each channel is a speaker"),
        ({"format": "rttm"}, "who speaks when"),
    ],
)
def test_wrong_options_are_refused(bench: Bench, params: dict[str, str], says: str) -> None:
    """By name, without the model."""
    error = refused(bench, 400, **params)
    assert error.code == "option_invalid"
    assert says in error.message
    assert bench.stub.calls == []


def test_a_server_without_the_model_names_the_command(server: Server) -> None:
    """A stable code and the one command that builds it; for OpenAI's route and for jobs, too."""
    with server.client() as client:
        for url, data in (
            (URL, {"diarize": "true"}),
            (f"{URL}?async=true", {"diarize": "true", "max_speakers": "3"}),
            ("/v1/audio/transcriptions", {"response_format": "diarized_json"}),
        ):
            answer = client.post(url, data=data, files={"file": SOUND})
            assert answer.status_code == 409, answer.text
            assert "speakers_missing" in answer.text
            assert "glagol models build speakers-campplus --fetch" in answer.text
        plain = client.post(URL, files={"file": SOUND})
        assert plain.status_code == 200, plain.text
