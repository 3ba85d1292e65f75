"""A transcript as one HTML file that needs nothing beside it: no script, no other file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from glagol.speech.output.paragraphs import clock, paragraphs

if TYPE_CHECKING:
    from glagol.speech.types import Transcript

__all__ = ["as_html"]

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:17px/1.6 system-ui,sans-serif;max-width:42rem;"
    "margin:2rem auto;padding:0 1rem}p{margin:0 0 1rem}time,footer{color:#767676;"
    "font-variant-numeric:tabular-nums}time{font-size:.85em;margin-right:.5em}"
    "footer{font-size:.8em;border-top:1px solid;margin-top:2rem;padding-top:.5rem;"
    "overflow-wrap:anywhere}@media print{body{margin:0}}"
)


def as_html(transcript: Transcript, *, times: bool = False) -> str:
    """Paragraphs with their speakers, and the transcript's foot (HTML Living Standard).

    Args:
        transcript: what to write.
        times: begin each paragraph with its time.
    """
    language = escape(transcript.language or "und", quote=True)
    blocks = []
    for paragraph in paragraphs(transcript):
        time = f"<time>{clock(paragraph.start)}</time>" if times else ""
        speaker = paragraph.speaker
        name = "" if speaker is None else f"<b>{escape(speaker)}:</b> "
        blocks.append(f"<p>{time}{name}{escape(paragraph.text)}</p>\n")
    foot = "<br>".join(escape(line) for line in transcript.foot)
    footer = f"<footer>{foot}</footer>\n" if foot else ""
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Glagol</title><style>{_STYLE}</style></head>\n<body>\n"
        f"{''.join(blocks)}{footer}</body>\n</html>\n"
    )
