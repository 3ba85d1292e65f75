"""Words to subtitle cues that a person can read while listening.

The limits are those that broadcasters give (Netflix Timed Text Style Guide; BBC Subtitle
Guidelines). Word times say where a cue ends: at the widest pause near the place where it is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.types import Segment, Word, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["CUE_LINES", "CUE_S_MAX", "CUE_S_MIN", "LINE_CHARACTERS", "cues"]

LINE_CHARACTERS = 42
CUE_LINES = 2
CUE_S_MAX = 7.0
CUE_S_MIN = 0.833
"""Five sixths of a second, to the millisecond."""


def cues(segments: Iterable[Segment], *, mark: str = "") -> list[Segment]:
    """Segments as subtitle cues.

    A cue has at most two lines of 42 characters (a longer word has a line of its own), is shown
    for 0.833 to 7 s and never overlaps the next: where words are too quick for that, the next cue
    comes a little late. No cue holds words of two segments.

    Args:
        segments: By rising time; word times are shared out by characters where there are none.
        mark: Name of the speaker; every cue begins with it, and its lines leave room for it.

    Returns:
        Cues by rising time, every word once; the text of one has a line break where two lines are
        needed. Times in seconds with 3 digits.
    """
    shown: list[Segment] = []
    head = [Word(0.0, 0.0, mark, 1.0)] if mark else []
    taken = [cue for segment in segments for cue in _split(_timed(segment), head)]
    edge = 0.0
    for words in taken:
        start = max(words[0].start, edge)
        end = round(min(max(words[-1].end, start + CUE_S_MIN), start + CUE_S_MAX), 3)
        shown.append(Segment(round(start, 3), end, _lines([*head, *words])))
        edge = end
    return shown


def _split(words: Iterable[Word], head: list[Word]) -> Iterator[list[Word]]:
    """Fill cues word by word; a full one ends at its widest pause."""
    taken: list[Word] = []
    for word in words:
        while taken and not _holds([*taken, word], head):
            at = _widest([*taken, word])
            yield taken[:at]
            taken = taken[at:]
        taken.append(word)
    if taken:
        yield taken


def _holds(words: Sequence[Word], head: list[Word]) -> bool:
    """Whether one cue may hold `words` after the `head`."""
    short = words[-1].end - words[0].start <= CUE_S_MAX
    return short and _fits([*head, *words])


def _widest(words: Sequence[Word]) -> int:
    """Index of the word after the widest pause in the later half; the last of equal ones."""
    places = range(max(1, len(words) // 2), len(words))
    return max(places, key=lambda at: (round(words[at].start - words[at - 1].end, 3), at))


def _timed(segment: Segment) -> Sequence[Word]:
    """The segment's words; without times, the time is shared out by characters."""
    if segment.words:
        return segment.words
    pieces = segment.text.split()
    pace = (segment.end - segment.start) / max(1, sum(map(len, pieces)))
    words, at = [], segment.start
    for piece in pieces:
        end = at + pace * len(piece)
        words.append(Word(round(at, 3), round(end, 3), piece, 1.0))
        at = end
    return words


def _fits(words: Sequence[Word]) -> bool:
    lines, length = 1, 0
    for word in words:
        size, space = len(word.text), 0 if word.glued else 1
        longer = length + space + size if length else size
        if length and longer > LINE_CHARACTERS:
            lines, longer = lines + 1, size
        length = longer
    return lines <= CUE_LINES


def _lines(words: Sequence[Word]) -> str:
    """One line if it fits, else two of the most even length."""
    text = text_of(words)
    if len(text) <= LINE_CHARACTERS or len(words) == 1:
        return text
    pairs = [(text_of(words[:at]), text_of(words[at:])) for at in range(1, len(words))]
    return "\n".join(min(pairs, key=lambda pair: max(map(len, pair))))
