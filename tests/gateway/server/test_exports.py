"""Exports of a text with two speakers: every format by times and speakers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from xml.etree import ElementTree as ET

import httpx
import pytest

from asr.process import Server
from gateway.serving import data


@pytest.fixture(scope="module")
def client(serving: Server) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


@pytest.mark.parametrize("speakers", ["0", "1"])
@pytest.mark.parametrize("times", ["0", "1"])
@pytest.mark.parametrize("form", ["text", "srt", "vtt", "tsv", "json", "txt", "md", "docx", "html"])
def test_every_export_has_what_was_asked(
    client: httpx.Client, named: str, form: str, times: str, speakers: str
) -> None:
    """Formats by times by speakers: well-formed, names and times where they were asked for."""
    asked = {"format": form, "times": times, "speakers": speakers}
    body = client.get(f"/ui/recordings/{named}/export", params=asked).content
    if form == "docx":
        with zipfile.ZipFile(BytesIO(body)) as parts:
            assert parts.testzip() is None
            for name in parts.namelist():
                ET.fromstring(parts.read(name))  # noqa: S314 - our own bytes
            body = parts.read("word/document.xml")
    shown = body.decode()
    assert "первая реплика" in shown
    if form == "json":
        found = json.loads(shown)["segments"]
        assert ["channel" in each for each in found] == [speakers == "1"] * 2
        return
    assert ("Ольга" in shown) == (speakers == "1")
    if form in {"srt", "vtt", "tsv"}:
        assert "1:01" in shown or "61000" in shown
    elif form != "text":
        assert ("1:01" in shown) == (times == "1")


@pytest.fixture(scope="module")
def named(client: httpx.Client) -> str:
    """Id of an imported text of two speakers, one of which has a name."""
    said = [(61.0, "первая реплика", 0), (63.0, "вторая реплика", 1)]
    text = {
        "segments": [
            {"start": at, "end": at + 1.0, "text": words, "channel": channel}
            for at, words, channel in said
        ],
        "duration": 70.0,
        "language": "ru",
    }
    made = data(client.put("/ui/imports", params={"title": "двое"}, content=json.dumps(text)))
    name = {"op": "name", "speaker": "ch0", "name": "Ольга"}
    data(client.post(f"/ui/recordings/{made['id']}/edits", json={"seen": 0, "operation": name}))
    return str(made["id"])
