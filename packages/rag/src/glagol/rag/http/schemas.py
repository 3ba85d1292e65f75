"""The JSON bodies of the routes, as msgspec Structs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["Ask", "Count", "Put", "Scoped", "Search"]

Day = Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
Names = list[Annotated[str, Meta(max_length=256)]]


class Put(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A transcript with what it is known by.

    Attributes:
        transcript: As asr-server and `glagol transcribe --format json` give it.
        title: Empty takes the id.
        folder: Where it lies.
        date: Day of the recording.
        tags: Words by which recordings are grouped.
    """

    transcript: dict[str, Any]
    title: Annotated[str, Meta(max_length=256)] = ""
    folder: Annotated[str, Meta(max_length=256)] = ""
    date: Day = ""
    tags: Annotated[Names, Meta(max_length=64)] = []


class Scoped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to look; null is everywhere, an empty list nowhere.

    Attributes:
        folders: Of recordings.
        recordings: Ids.
        speakers: Of turns.
        channels: Of turns, from 0.
        tags: Of recordings; one of them is enough.
        confidence: Least mean confidence of a turn.
        since: First day.
        until: Last day.
    """

    folders: Names | None = None
    recordings: Names | None = None
    speakers: Names | None = None
    channels: Annotated[list[Annotated[int, Meta(ge=-1, le=1000)]], Meta(max_length=64)] | None = (
        None
    )
    tags: Names | None = None
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    since: Day = ""
    until: Day = ""


class Search(Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to search for, and where.

    Attributes:
        query: Words; what stands in double quotes must be there word for word.
        limit: Most hits.
    """

    query: str
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class Ask(Search, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As a search, with at most 20 hits to read for the answer.

    Attributes:
        stream: Whether to answer with server-sent events; so does `Accept: text/event-stream`.
    """

    limit: Annotated[int, Meta(ge=1, le=20)] = 6
    stream: bool = False


class Count(Scoped, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to count, where, and by what.

    Attributes:
        query: Words that a turn must hold, all of them; empty for every turn.
        by: Facets and timelines: recording, folder, speaker, channel, tag, day, month.
        order: Which mentions are listed: the `first` or the `last`.
        limit: Most mentions that are listed.
    """

    query: str = ""
    by: Annotated[list[str], Meta(max_length=7)] = []
    order: Literal["first", "last"] = "first"
    limit: Annotated[int, Meta(ge=0, le=100)] = 0
