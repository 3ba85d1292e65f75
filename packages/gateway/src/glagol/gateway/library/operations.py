"""What people do to a transcript: operations, what each changes, and what takes it back.

An operation sees the segments and the names that it touches, and nothing else: an edit of one
segment costs the same in a recording of a minute and of five hours. Each change can be taken back
exactly by the `Restore` that `inverse` makes; that is a new operation, so history only grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import msgspec

from glagol.core.errors import InputError
from glagol.gateway.library.alignment import retimed
from glagol.gateway.library.document import Segment, Word, segment_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TEXT_MAX",
    "Adopt",
    "Assign",
    "Change",
    "Join",
    "Name",
    "Operation",
    "Replace",
    "Restore",
    "Review",
    "SetText",
    "Split",
    "Unite",
    "apply",
    "inverse",
    "touched",
]

TEXT_MAX: Final = 20_000
"""Characters of one segment."""

NAME_MAX: Final = 200


class SetText(msgspec.Struct, frozen=True, tag="set", tag_field="op", forbid_unknown_fields=True):
    """Replace the text of a segment."""

    segment: int
    text: str


class Split(msgspec.Struct, frozen=True, tag="split", tag_field="op", forbid_unknown_fields=True):
    """Cut a segment before its word `at`, 1 or more; the second part becomes segment `new`."""

    segment: int
    at: int
    new: int = 0


class Join(msgspec.Struct, frozen=True, tag="join", tag_field="op", forbid_unknown_fields=True):
    """Append segment `second` to `first`; both have the same speaker."""

    first: int
    second: int


class Assign(msgspec.Struct, frozen=True, tag="assign", tag_field="op", forbid_unknown_fields=True):
    """Give segments to a speaker."""

    segments: tuple[int, ...]
    speaker: str


class Unite(msgspec.Struct, frozen=True, tag="unite", tag_field="op", forbid_unknown_fields=True):
    """Make two speakers one: `segments` are those of `speaker`, they go to `into`."""

    speaker: str
    into: str
    segments: tuple[int, ...] = ()


class Name(msgspec.Struct, frozen=True, tag="name", tag_field="op", forbid_unknown_fields=True):
    """Call a speaker by a name; an empty one takes the name away."""

    speaker: str
    name: str


class Replace(
    msgspec.Struct, frozen=True, tag="replace", tag_field="op", forbid_unknown_fields=True
):
    """Replace a phrase in many segments; `texts` are their new texts by id."""

    old: str
    new: str
    texts: tuple[tuple[int, str], ...] = ()


class Review(msgspec.Struct, frozen=True, tag="review", tag_field="op", forbid_unknown_fields=True):
    """Say that a segment's text is right, or no longer."""

    segment: int
    reviewed: bool = True


class Adopt(msgspec.Struct, frozen=True, tag="adopt", tag_field="op", forbid_unknown_fields=True):
    """Take another machine's text instead of the one that is shown.

    Attributes:
        machine: Number of that text.
        segments: Of it, with ids that no segment of the recording ever had.
        removed: Ids of all segments before.
        names: Names of speakers that the new text calls otherwise: each becomes empty.
        last: The highest id of `segments`.
    """

    machine: int
    segments: tuple[Segment, ...] = ()
    removed: tuple[int, ...] = ()
    names: dict[str, str] = {}
    last: int = 0


class Restore(
    msgspec.Struct, frozen=True, tag="restore", tag_field="op", forbid_unknown_fields=True
):
    """Take an edit back.

    Attributes:
        edit: Number of the edit.
        segments: As they were before it.
        removed: Those that it made.
        speakers: Speakers of segments of which nothing else changed, by id.
        names: Names before it, by speaker; empty for none.
        expects: Digests of the segments as it left them: nothing newer is overwritten.
        expects_names: Names as it left them.
    """

    edit: int
    segments: tuple[Segment, ...] = ()
    removed: tuple[int, ...] = ()
    speakers: tuple[tuple[int, str], ...] = ()
    names: dict[str, str] = {}
    expects: tuple[tuple[int, str], ...] = ()
    expects_names: dict[str, str] = {}


Operation: TypeAlias = (
    SetText | Split | Join | Assign | Unite | Name | Replace | Review | Adopt | Restore
)


class Change(msgspec.Struct, frozen=True):
    """What an operation does.

    Attributes:
        put: Segments as they are after it.
        removed: Ids of segments that are gone.
        names: Names that change, by speaker; empty for none.
    """

    put: tuple[Segment, ...] = ()
    removed: tuple[int, ...] = ()
    names: dict[str, str] = {}


def touched(operation: Operation) -> frozenset[int]:
    """Ids of the segments that an operation reads or changes."""
    match operation:
        case SetText(segment=number) | Split(segment=number) | Review(segment=number):
            return frozenset({number})
        case Join():
            return frozenset({operation.first, operation.second})
        case Assign() | Unite():
            return frozenset(operation.segments)
        case Replace():
            return frozenset(number for number, _ in operation.texts)
        case Adopt():
            return frozenset({*operation.removed, *(each.id for each in operation.segments)})
        case Restore():
            put = {segment.id for segment in operation.segments}
            moved = {number for number, _ in operation.speakers}
            return frozenset({*put, *operation.removed, *moved})
        case Name():
            return frozenset()


def apply(operation: Operation, segments: Mapping[int, Segment]) -> Change:
    """Find what an operation changes.

    Args:
        operation: What a person does.
        segments: At least those of `touched`, by id.

    Raises:
        InputError: `edit_invalid`, it does not fit the segments.
    """
    match operation:
        case SetText():
            return Change((_set(_of(segments, operation.segment), operation.text),))
        case Split():
            return _split(_of(segments, operation.segment), operation.at, operation.new)
        case Join():
            return _join(_of(segments, operation.first), _of(segments, operation.second))
        case Assign(segments=ids, speaker=key) | Unite(segments=ids, into=key):
            return _assign(ids, key, segments)
        case Name():
            return Change(names={operation.speaker: _short(operation.name)})
        case Replace():
            texts = operation.texts
            return Change(tuple(_set(_of(segments, number), text) for number, text in texts))
        case Review():
            segment = _of(segments, operation.segment)
            return Change((msgspec.structs.replace(segment, reviewed=operation.reviewed),))
        case Adopt():
            for number in operation.removed:
                _of(segments, number)
            return Change(operation.segments, operation.removed, operation.names)
        case Restore():
            return _restore(operation, segments)


def inverse(
    number: int, change: Change, segments: Mapping[int, Segment], names: Mapping[str, str]
) -> Restore:
    """What takes a change back.

    Args:
        number: Of the edit that made it.
        change: What it did.
        segments: Those that it touched, as they were before, by id.
        names: Of all speakers, as they were before.
    """
    before: list[Segment] = []
    speakers: list[tuple[int, str]] = []
    for after in change.put:
        old = segments.get(after.id)
        if old is None:
            continue
        if msgspec.structs.replace(old, speaker=after.speaker) == after:
            speakers.append((old.id, old.speaker))  # an hour of text need not be in it
        else:
            before.append(old)
    made = tuple(after.id for after in change.put if after.id not in segments)
    gone = [segments[each] for each in change.removed]
    called = {speaker: names.get(speaker, "") for speaker in change.names}
    return Restore(
        number,
        (*before, *gone),
        made,
        tuple(speakers),
        called,
        tuple((segment.id, segment_digest(segment)) for segment in change.put),
        change.names,
    )


def _set(segment: Segment, text: str) -> Segment:
    if len(text) > TEXT_MAX:
        _refuse(
            f"the text of a segment has {len(text)} characters, at most {TEXT_MAX} are kept",
            "split the segment first",
        )
    words = retimed(segment.words, text.split(), segment.start_ms, segment.end_ms)
    return msgspec.structs.replace(segment, words=words, reviewed=False)


def _split(segment: Segment, at: int, new: int) -> Change:
    if not 1 <= at < len(segment.words):
        _refuse(
            f"segment {segment.id} has {len(segment.words)} words and cannot be split at {at}",
            "put the cursor between two words",
        )
    left, right = segment.words[:at], segment.words[at:]
    first = msgspec.structs.replace(segment, words=left, end_ms=left[-1].end_ms)
    second = msgspec.structs.replace(segment, id=new, words=right, start_ms=right[0].start_ms)
    return Change((first, second))


def _join(first: Segment, second: Segment) -> Change:
    if first.order >= second.order or first.speaker != second.speaker:
        _refuse(
            f"segments {first.id} and {second.id} cannot be joined: they have different speakers, "
            "or the second begins before the first",
            "join a segment with the next one of the same speaker",
        )
    words = _rising([*first.words, *second.words])
    end_ms = max(first.end_ms, second.end_ms)
    whole = msgspec.structs.replace(first, words=words, end_ms=end_ms, reviewed=False)
    return Change((whole,), (second.id,))


def _rising(words: list[Word]) -> tuple[Word, ...]:
    """The words with times that rise, where two segments overlapped."""
    made: list[Word] = []
    at = 0
    for word in words:
        at = max(at, word.start_ms)
        end_ms = max(at, word.end_ms)
        made.append(msgspec.structs.replace(word, start_ms=at, end_ms=end_ms))
        at = end_ms
    return tuple(made)


def _assign(ids: tuple[int, ...], key: str, segments: Mapping[int, Segment]) -> Change:
    _short(key)
    return Change(tuple(msgspec.structs.replace(_of(segments, each), speaker=key) for each in ids))


def _restore(operation: Restore, segments: Mapping[int, Segment]) -> Change:
    moved = tuple(
        msgspec.structs.replace(_of(segments, number), speaker=speaker)
        for number, speaker in operation.speakers
    )
    for number in operation.removed:
        _of(segments, number)
    return Change(operation.segments + moved, operation.removed, operation.names)


def _of(segments: Mapping[int, Segment], number: int) -> Segment:
    if number not in segments:
        _refuse(
            f"there is no segment {number}", "reload the page: another person joined or removed it"
        )
    return segments[number]


def _short(name: str) -> str:
    if len(name) > NAME_MAX:
        _refuse(f"a name has {len(name)} characters, at most {NAME_MAX} are kept", "shorten it")
    return name


def _refuse(message: str, remedy: str) -> NoReturn:
    raise InputError("edit_invalid", message, remedy)
