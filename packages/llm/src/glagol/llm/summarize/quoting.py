"""Quote untrusted text inside a prompt, so that nothing in it can end the quotation.

Square brackets belong to the prompt (labels, fences) and angle brackets to chat templates
(`<|im_end|>`, `</think>`). Inside the fence both are replaced, and every label has a line of its
own, so a transcript cannot close the fence, imitate another segment, or switch the role.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from glagol.llm.summarize.chunking import Piece, Segment

__all__ = ["notes", "plain", "transcript"]

_OTHERWISE: Final = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›"})


def plain(text: str) -> str:
    """`text` on one line, without the characters that mean something in a prompt."""
    words = "".join(char if char.isprintable() else " " for char in text).split()
    return " ".join(words).translate(_OTHERWISE)


def transcript(piece: Piece) -> str:
    """A piece of a transcript as the model sees it: context first, then what it owns."""
    parts = [_fenced("transcript", piece.owned)]
    if piece.context:
        parts.insert(0, _fenced("context", piece.context))
    return "\n".join(parts)


def notes(piece: Piece) -> str:
    """Notes on pieces as the model sees them when they are brought together."""
    return _fenced("notes", piece.owned)


def _fenced(name: str, segments: Iterable[Segment]) -> str:
    return "\n".join([f"[{name}]", *(_line(segment) for segment in segments), f"[/{name}]"])


def _line(segment: Segment) -> str:
    speaker = f" {plain(segment.speaker)}:" if segment.speaker.strip() else ""
    return f"[{segment.id}]{speaker} {plain(segment.text)}"
