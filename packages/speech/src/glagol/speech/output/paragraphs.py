"""Transcripts as people read them: paragraphs, as plain text, Markdown and Word.

A paragraph ends at a long pause, at a change of channel or speaker, and, once it is long, at the
next pause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from glagol.speech.types import Segment, Transcript

__all__ = ["Paragraph", "as_docx", "as_markdown", "as_plain", "clock", "paragraphs"]

PAUSE_S: Final = 2.0
LONG_LETTERS: Final = 500
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say, so that no clock has a say
MARKS: Final = re.compile(r"([\\`*_\[\]<>#|~])")
ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# XML 1.0 has no form for these
CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Segments that are read together.

    Attributes:
        start: seconds.
        text: their texts joined by one space.
        speaker: the name of the channel in which they were spoken, or its number; or the speaker's
            id; None for neither.
    """

    start: float
    text: str
    speaker: str | None


def paragraphs(transcript: Transcript) -> tuple[Paragraph, ...]:
    """The paragraphs of a transcript, in the order of its segments; none of silence."""
    groups: list[list[Segment]] = []
    for segment in transcript.segments:
        if groups and _continues(groups[-1], segment):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return tuple(
        Paragraph(
            group[0].start,
            " ".join(s.text for s in group),
            transcript.speaker_of(group[0]),
        )
        for group in groups
    )


def _continues(group: list[Segment], segment: Segment) -> bool:
    last = group[-1]
    other = (segment.channel, segment.speaker) != (last.channel, last.speaker)
    if other or segment.start - last.end >= PAUSE_S:
        return False
    return sum(len(s.text) + 1 for s in group) < LONG_LETTERS


def as_plain(transcript: Transcript, *, times: bool = False) -> str:
    """Paragraphs with an empty line between them.

    Args:
        transcript: what to write.
        times: begin each with its time, `[00:01:05]`.
    """
    blocks = [f"{_head(p, times=times)}{p.text}" for p in paragraphs(transcript)]
    return _joined(blocks + _foot(transcript, "\n"))


def as_markdown(transcript: Transcript, *, times: bool = False) -> str:
    """As `as_plain`, in Markdown (CommonMark): time and channel are bold, the text is escaped."""
    blocks = []
    for paragraph in paragraphs(transcript):
        head = _head(paragraph, times=times).rstrip()
        bold = f"**{_escaped(head)}** " if head else ""
        blocks.append(bold + _escaped(paragraph.text))
    return _joined(blocks + [_escaped(each) for each in _foot(transcript, "  \n")])


def as_docx(transcript: Transcript, *, times: bool = False) -> bytes:
    """As `as_plain`, as an Office Open XML document (ECMA-376); equal transcripts, equal bytes."""
    import io
    import zipfile

    runs = []
    for paragraph in paragraphs(transcript):
        head = _head(paragraph, times=times)
        bold = f"<w:r><w:rPr><w:b/></w:rPr>{_text(head)}</w:r>" if head else ""
        spacing = '<w:pPr><w:spacing w:after="160"/></w:pPr>'
        runs.append(f"<w:p>{spacing}{bold}<w:r>{_text(paragraph.text)}</w:r></w:p>")
    small = '<w:rPr><w:color w:val="767676"/><w:sz w:val="16"/></w:rPr>'
    runs += [f"<w:p><w:r>{small}{_text(line)}</w:r></w:p>" for line in transcript.foot]
    body = "".join(runs) or "<w:p/>"
    files = {**DOCX, "word/document.xml": DOCUMENT.format(body=body)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # zlib's versions differ
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 0
            archive.writestr(entry, f"{XML}{text}".encode())
    return out.getvalue()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, `00:01:05`."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours:02}:{rest // 60:02}:{rest % 60:02}"


def _foot(transcript: Transcript, joint: str) -> list[str]:
    return [joint.join(transcript.foot)] if transcript.foot else []


def _head(paragraph: Paragraph, *, times: bool) -> str:
    time = f"[{clock(paragraph.start)}] " if times else ""
    return time if paragraph.speaker is None else f"{time}[{paragraph.speaker}] "


def _joined(blocks: list[str]) -> str:
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _escaped(text: str) -> str:
    return MARKS.sub(r"\\\1", text)


def _text(text: str) -> str:
    return f'<w:t xml:space="preserve">{CONTROLS.sub("", text).translate(ENTITIES)}</w:t>'


XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml"
DOCUMENT: Final = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body>{body}</w:body></w:document>"
)
DOCX: Final = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/>'
        "</Types>"
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
    ),
}
