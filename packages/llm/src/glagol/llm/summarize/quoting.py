"""Quote untrusted text inside a prompt, so that nothing in it can end the quotation.

Prompts use square brackets for labels and fences, and chat templates use angle brackets
(`<|im_end|>`, `</think>`). Both are replaced in quoted text, and each segment is one line. So a
transcript cannot close the fence, imitate another segment, or switch the role.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from glagol.llm.summarize.chunking import Piece, Segment

__all__ = ["notes", "plain", "transcript"]

_OTHERWISE: Final = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›"})


def plain(text: str) -> str:
    """`text` on one line, with the brackets that have a meaning in a prompt replaced."""
    words = "".join(char if char.isprintable() else " " for char in text).split()
    return " ".join(words).translate(_OTHERWISE)


def transcript(piece: Piece) -> str:
    """Quote a piece of a transcript for the prompt: its context, then its own segments."""
    parts = [_fenced("transcript", piece.owned)]
    if piece.context:
        parts.insert(0, _fenced("context", piece.context))
    return "\n".join(parts)


def notes(piece: Piece) -> str:
    """Quote notes for the prompt that merges them."""
    return _fenced("notes", piece.owned)


def _fenced(name: str, segments: Iterable[Segment]) -> str:
    return "\n".join([f"[{name}]", *(_line(segment) for segment in segments), f"[/{name}]"])


def _line(segment: Segment) -> str:
    speaker = f" {plain(segment.speaker)}:" if segment.speaker.strip() else ""
    return f"[{segment.id}]{speaker} {plain(segment.text)}"
