"""The JSON of the routes; msgspec Structs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["Ask", "Put", "Search"]

Day = Annotated[str, Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
Names = list[Annotated[str, Meta(max_length=256)]]


class Put(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A transcript with what it is known by.

    Attributes:
        transcript: As asr-server and `glagol transcribe --format json` give it.
        title: Empty takes the id.
        folder: Where it lies.
        date: Day of the recording.
    """

    transcript: dict[str, Any]
    title: Annotated[str, Meta(max_length=256)] = ""
    folder: Annotated[str, Meta(max_length=256)] = ""
    date: Day = ""


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to search for, and where; null is everywhere.

    Attributes:
        query: Words; what stands in double quotes must be there word for word.
        folders: Of recordings.
        recordings: Ids.
        speakers: Of turns.
        since: First day.
        until: Last day.
        limit: Most hits.
    """

    query: str
    folders: Names | None = None
    recordings: Names | None = None
    speakers: Names | None = None
    since: Day = ""
    until: Day = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class Ask(Search, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As a search, with at most 20 hits to read for the answer."""

    limit: Annotated[int, Meta(ge=1, le=20)] = 6
