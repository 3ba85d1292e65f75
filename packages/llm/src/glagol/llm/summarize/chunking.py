"""Cut a transcript of any length into pieces that fit a prompt; each segment has one owner piece.

The rules:

1. pieces follow the transcript's order, and every segment id is owned by exactly one piece;
2. a piece may start with the end of the previous segments as context, which is read and not
   reported; context starts at the beginning of a turn, if there is one near enough;
3. a segment that alone is over the limit is cut at sentence ends, else between words, else between
   characters, into segments with ids of their own (`s7.1`, `s7.2`) and the times of the whole;
4. no prompt is over the limit: each piece was counted as the very prompt that will be sent.

The model counts tokens, often in another process. So the functions here are generators: they yield
prompts and receive their token counts by `send`. `counted` drives one with a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from glagol.core.errors import LimitError

__all__ = [
    "Counting",
    "Limits",
    "Piece",
    "Render",
    "Segment",
    "counted",
    "cut",
    "from_text",
    "halves",
]

_FULL: Final = 0.97  # of a prompt's tokens: more is not looked for
_GUESSES: Final = 6
_TOKEN_CHARACTERS: Final = 16  # a longer text per token of room is cut before anything is counted

T = TypeVar("T")
Counting: TypeAlias = Generator[str, int, T]
"""Yields prompts, takes their token counts, returns a `T`."""

_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+")
_WORD: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a transcript.

    Attributes:
        id: Unique in its transcript.
        text: What was said; never changed, so that texts joined are the transcript.
        start: Seconds; None where the source has no times.
        end: Seconds, at least `start`; None where the source has no times.
        speaker: Name of the speaker or channel; empty when unknown.
    """

    id: str
    text: str
    start: float | None = None
    end: float | None = None
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one prompt shows.

    Attributes:
        owned: Segments that this piece alone reports on; at least one.
        context: Segments just before them, owned by earlier pieces.
    """

    owned: tuple[Segment, ...]
    context: tuple[Segment, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the owned segments, in order."""
        return tuple(segment.id for segment in self.owned)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a prompt may be.

    Attributes:
        prompt_tokens: Of the whole prompt, at most.
        context_characters: Of the texts of the context, at most; 0 for none.
    """

    prompt_tokens: int
    context_characters: int = 0


Render: TypeAlias = Callable[[Piece], str]
"""The prompt that shows a piece."""


def from_text(text: str) -> tuple[Segment, ...]:
    """One segment for each line; blank lines belong to the line before them.

    Args:
        text: Anything; the segments' texts joined are equal to it.

    Returns:
        Segments `s1`, `s2`, ...; none for an empty text.
    """
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if lines and (not line.strip() or not lines[-1].strip()):
            lines[-1] += line
        else:
            lines.append(line)
    return tuple(Segment(f"s{number}", line) for number, line in enumerate(lines, 1))


def cut(segments: Sequence[Segment], render: Render, limits: Limits) -> Counting[tuple[Piece, ...]]:
    """Divide a transcript into pieces.

    Args:
        segments: The transcript in order; ids are unique.
        render: The prompt of a piece. Longer pieces must not count less, or pieces get smaller
            than they could be; they never get too large.
        limits: Of every prompt.

    Yields:
        Prompts to be counted.

    Returns:
        Pieces whose owned segments, joined, are the transcript; cut segments count as their parts.

    Raises:
        LimitError: `prompt_too_long`, not even one character fits beside the instructions.
    """
    pieces: list[Piece] = []
    rest = list(segments)
    before: list[Segment] = []
    guess = 1
    while rest:
        if len(rest[0].text) > _TOKEN_CHARACTERS * limits.prompt_tokens:
            rest[:1] = yield from _halved(rest[0], render, limits)
        piece = yield from _longest(rest, _context(before, limits), render, limits, guess)
        if piece is None:
            piece = yield from _longest(rest, (), render, limits, 1)
        if piece is None:
            rest[:1] = yield from _halved(rest[0], render, limits)
            continue
        pieces.append(piece)
        guess = len(piece.owned)
        before = rest[:guess]
        del rest[:guess]
    return tuple(pieces)


def counted(asking: Counting[T], count: Callable[[str], int]) -> T:
    """Run a generator of this module with a function that counts."""
    try:
        prompt = next(asking)
        while True:
            prompt = asking.send(count(prompt))
    except StopIteration as stop:
        value: T = stop.value
        return value


def _context(before: Sequence[Segment], limits: Limits) -> tuple[Segment, ...]:
    """The end of `before`, from the beginning of a turn when one is inside the limit."""
    tail: list[Segment] = []
    room = limits.context_characters
    for segment in reversed(before):
        room -= len(segment.text)
        if room < 0:
            break
        tail.insert(0, segment)
    for number in range(1, len(tail)):
        if tail[number].speaker != tail[number - 1].speaker:
            return tuple(tail[number:])
    return tuple(tail)


def _longest(
    rest: Sequence[Segment],
    context: tuple[Segment, ...],
    render: Render,
    limits: Limits,
    guess: int,
) -> Counting[Piece | None]:
    """A piece with about the most segments from the beginning of `rest`; None when not one fits.

    Tokens grow about evenly with segments, so the next number is read off the line through what was
    counted (regula falsi), off the middle when that is slow; a prompt that is nearly full will do.
    """
    fits, over = (0, 0), (len(rest) + 1, 0)  # segments and their tokens
    step, tries = min(guess, len(rest)), 0
    while over[0] - fits[0] > 1:
        tokens = yield render(Piece(tuple(rest[:step]), context))
        tries += 1
        if tokens > limits.prompt_tokens:
            over = (step, tokens)
        else:
            fits = (step, tokens)
            if tokens >= _FULL * limits.prompt_tokens:
                break
        step = max(fits[0] + 1, min(_next(fits, over, limits.prompt_tokens, tries), over[0] - 1))
    return Piece(tuple(rest[: fits[0]]), context) if fits[0] else None


def _next(fits: tuple[int, int], over: tuple[int, int], room: int, tries: int) -> int:
    """The number of segments to count next, between one that fits and one that does not."""
    if not over[1]:  # nothing was too much yet
        return fits[0] * room // max(1, fits[1]) if fits[1] else over[0]
    if tries > _GUESSES:
        return (fits[0] + over[0]) // 2
    slope = (over[1] - fits[1]) / (over[0] - fits[0])
    return fits[0] + int((room - fits[1]) / max(slope, 1e-9))


def _halved(segment: Segment, render: Render, limits: Limits) -> Counting[tuple[Segment, Segment]]:
    """A segment as about its longest beginning that fits, and the rest.

    Raises:
        LimitError: `prompt_too_long`, no beginning fits.
    """
    text = segment.text[: _TOKEN_CHARACTERS * limits.prompt_tokens]
    for borders in (_borders(text, _SENTENCE), _borders(text, _WORD), None):
        ends = list(range(1, len(text))) if borders is None else borders
        parts = [
            Segment("", text[start:end], speaker=segment.speaker)
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        head = yield from _longest(parts, (), _joined(segment, render), limits, 1)
        if head is not None:
            return _parts(segment, sum(len(part.text) for part in head.owned), _ids(segment.id))
    raise LimitError(
        "prompt_too_long",
        f"a prompt may have {limits.prompt_tokens} tokens, and the instructions alone take them",
        "let the model have a longer context, or ask for a shorter answer",
    )


def _joined(segment: Segment, render: Render) -> Render:
    """Renders the beginning of `segment` that is given in parts."""

    def rendered(piece: Piece) -> str:
        text = "".join(part.text for part in piece.owned)
        return render(Piece((replace(segment, id=_ids(segment.id)[0], text=text),)))

    return rendered


def _borders(text: str, border: re.Pattern[str]) -> list[int]:
    """Where `text` may be cut; the white space stays with what is before it."""
    return [found.end() for found in border.finditer(text) if 0 < found.end() < len(text)]


def _parts(segment: Segment, length: int, ids: tuple[str, str]) -> tuple[Segment, Segment]:
    return (
        replace(segment, id=ids[0], text=segment.text[:length]),
        replace(segment, id=ids[1], text=segment.text[length:]),
    )


def _ids(name: str) -> tuple[str, str]:
    """`s7` is cut into s7.1 and s7.2, s7.2 into s7.2 and s7.3."""
    stem, dot, number = name.rpartition(".")
    if not dot:
        return f"{name}.1", f"{name}.2"
    return name, f"{stem}.{int(number) + 1}"


def halves(piece: Piece) -> tuple[Piece, Piece] | None:
    """A piece as two smaller ones without context; None when it is one segment of one word.

    Between them they own what it owned; a segment that is cut gets two new ids.
    """
    if len(piece.owned) > 1:
        middle = len(piece.owned) // 2
        return Piece(piece.owned[:middle]), Piece(piece.owned[middle:])
    segment = piece.owned[0]
    for border in (_SENTENCE, _WORD):
        if ends := _borders(segment.text, border):
            near = min(ends, key=lambda end: abs(2 * end - len(segment.text)))
            first, second = _parts(segment, near, (f"{segment.id}.1", f"{segment.id}.2"))
            return Piece((first,)), Piece((second,))
    return None
