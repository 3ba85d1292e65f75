"""Paragraphs, and the three documents that are made of them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.speech.output.formats import FORMATS
from glagol.speech.output.paragraphs import (
    LONG_LETTERS,
    as_docx,
    as_markdown,
    as_plain,
    paragraphs,
)
from glagol.speech.types import Coverage, Provenance, Segment, Transcript

PROVENANCE = Provenance(
    model="m",
    model_version="1",
    artifacts={},
    manifest_version=3,
    manifest_sha256="cd",
    variant="cpu-fp32",
    provider="cpu",
    onnxruntime="1.0",
    kernels_sha256=None,
    vad=None,
    chunk_plan_sha256="01",
    audio_sha256=None,
)
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def spoken(*segments: Segment) -> Transcript:
    """A transcript of these segments."""
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, segments, 4000.0, "ru", Coverage(4000.0, 0.0), PROVENANCE)


def read(data: bytes) -> list[str]:
    """The paragraphs of a Word document, as a reader of XML sees them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        root = ET.fromstring(archive.read("word/document.xml"))  # noqa: S314 - our own
    assert names[:2] == ["[Content_Types].xml", "_rels/.rels"]
    texts = ("".join(t.text or "" for t in p.iter(f"{WORD}t")) for p in root.iter(f"{WORD}p"))
    return [text for text in texts if text]


TALK = spoken(
    Segment(0.0, 2.0, "добрый день"),
    Segment(2.4, 3.0, "слушаю"),
    Segment(65.2, 66.0, "через минуту"),
    Segment(3725.0, 3726.0, "1 < 2 & *звезда*"),
)


def test_a_long_pause_begins_a_paragraph() -> None:
    """A short one does not; the time is that of the first segment, whole seconds."""
    assert as_plain(TALK) == "добрый день слушаю\n\nчерез минуту\n\n1 < 2 & *звезда*\n"
    assert as_plain(TALK, times=True).split("\n\n") == [
        "[00:00:00] добрый день слушаю",
        "[00:01:05] через минуту",
        "[01:02:05] 1 < 2 & *звезда*\n",
    ]


def test_a_change_of_channel_begins_a_paragraph() -> None:
    """And each says which it is."""
    both = spoken(
        Segment(0, 1, "алло", (), 0), Segment(1, 2, "да", (), 1), Segment(2, 3, "я", (), 1)
    )
    assert as_plain(both) == "[0] алло\n\n[1] да я\n"
    assert as_markdown(both) == "**\\[0\\]** алло\n\n**\\[1\\]** да я\n"
    assert read(as_docx(both, times=True)) == ["[00:00:00] [0] алло", "[00:00:01] [1] да я"]


def test_an_hour_without_a_pause_has_paragraphs() -> None:
    """Each ends at the first segment after it became long."""
    found = paragraphs(spoken(*(Segment(n, n + 1, "слово за словом") for n in range(1000))))
    assert len(found) == 1 + 1000 * 16 // (LONG_LETTERS + 16)
    assert max(len(paragraph.text) for paragraph in found) < LONG_LETTERS + 16


def test_markdown_shows_the_words_and_nothing_else() -> None:
    """What Markdown would read as a mark is escaped."""
    assert "1 \\< 2 & \\*звезда\\*" in as_markdown(TALK)


def test_silence_is_an_empty_document() -> None:
    """Which Word opens all the same."""
    silence = spoken()
    assert (as_plain(silence), as_markdown(silence), read(as_docx(silence))) == ("", "", [])


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_text_is_a_document(text: str) -> None:
    """XML's own signs come back; what XML cannot hold is left out."""
    (found,) = read(as_docx(spoken(Segment(0, 1, f"а{text}я")))) or [""]
    assert found[0] == "а"
    assert found[-1] == "я"
    if text.isprintable():
        assert found == f"а{text}я"


def test_a_document_is_the_same_bytes_everywhere() -> None:
    """No clock, no compressor, no system has a say."""
    digest = hashlib.sha256(as_docx(TALK)).hexdigest()
    assert digest == "7649371a2e4f69d7d27dc202a6362b50e712c770657d7ebf928261c8f12ab650"


@pytest.mark.parametrize("form", ["txt", "md", "docx"])
def test_each_is_a_format_with_times(form: str) -> None:
    """As the command and the servers know it."""
    row = FORMATS[form]
    assert row.write_timed is not None
    assert row.write(TALK) != row.write_timed(TALK)
    assert row.extension == f".{form}"


def test_html_is_one_file_with_speakers_times_and_a_foot() -> None:
    """Whatever is said or a speaker is called stays text; nothing outside is asked for."""
    hostile = "<script>alert(1)</script>"
    said = (Segment(65.0, 66.0, hostile, channel=0), Segment(70.0, 71.0, "да & нет", channel=1))
    transcript = replace(
        spoken(*said),
        coverage=Coverage(2.0, 0.0, (Coverage(1.0, 0.0), Coverage(1.0, 0.0))),
        names=('"Ольга" <b>', ""),
        foot=("sha256 <0>",),
    )
    page = FORMATS["html"].write_timed(transcript).decode()  # type: ignore[misc]
    assert page == FORMATS["html"].write_timed(transcript).decode()  # type: ignore[misc]
    assert "<script" not in page
    assert "src=" not in page
    assert "<time>00:01:05</time><b>&quot;Ольга&quot; &lt;b&gt;:</b> &lt;script&gt;" in page
    assert "<b>1:</b> да &amp; нет" in page
    assert "<footer>sha256 &lt;0&gt;</footer>" in page
    plain = FORMATS["txt"].write(transcript).decode()
    assert plain.startswith(f'["Ольга" <b>] {hostile}')
    assert plain.endswith("\n\nsha256 <0>\n")
