"""The model's notes on one prompt: their JSON Schema, and validation of the answer.

vLLM enforces the schema while the model writes. The answer is validated here all the same, since it
is untrusted input. Labels that were not in the prompt are dropped and counted; an
item that no label supports is dropped and counted, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from glagol.core.errors import HostError

__all__ = ["KINDS", "Item", "Notes", "Shape", "Tally", "invalid", "read", "schema"]

KINDS: Final = ("key_points", "action_items", "decisions")


@dataclass(frozen=True, slots=True)
class Shape:
    """How much one answer may hold, so that it ends by itself.

    Attributes:
        summary_characters: Of the summary.
        items: Of each kind.
        item_characters: Of an item.
        citations: Of an item.
    """

    summary_characters: int = 1000
    items: int = 6
    item_characters: int = 200
    citations: int = 4

    @classmethod
    def fitting(cls, max_tokens: int) -> Shape:
        """The shape for answers of `max_tokens`: the default for 2048, smaller for less."""
        part = min(1.0, max_tokens / 2048)
        return cls(
            max(40, round(1000 * part)), max(1, round(6 * part)), max(40, round(200 * part)), 4
        )


@dataclass(frozen=True, slots=True)
class Item:
    """A point, a task or a decision, and the ids of the segments that support it (one or more)."""

    text: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notes:
    """What one answer, or several brought together, say.

    Attributes:
        summary: The account.
        items: By kind, see `KINDS`.
    """

    summary: str
    items: Mapping[str, tuple[Item, ...]]


@dataclass(slots=True)
class Tally:
    """Citations of all answers: given by the model, dropped as unknown; items without support."""

    given: int = 0
    dropped: int = 0
    unsupported: int = 0


def schema(labels: Sequence[str], shape: Shape) -> dict[str, Any]:
    """The JSON Schema of an answer that may cite `labels`; without any it has no items."""
    item = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": shape.item_characters},
            "segments": {
                "type": "array",
                "items": {"type": "string", "enum": list(labels)},
                "minItems": 1,
                "maxItems": shape.citations,
            },
        },
        "required": ["text", "segments"],
        "additionalProperties": False,
    }
    items = {"type": "array", "items": item, "maxItems": shape.items}
    if not labels:
        items = {"type": "array", "items": {"type": "string"}, "maxItems": 0}
    summary = {"type": "string", "minLength": 1, "maxLength": shape.summary_characters}
    return {
        "type": "object",
        "properties": {"summary": summary, **dict.fromkeys(KINDS, items)},
        "required": ["summary", *KINDS],
        "additionalProperties": False,
    }


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    segments: list[str]


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    summary: str
    key_points: list[_Item]
    action_items: list[_Item]
    decisions: list[_Item]


def read(text: str, support: Mapping[str, Collection[str]], shape: Shape, tally: Tally) -> Notes:
    """Take from an answer what the prompt supports.

    Args:
        text: The model's answer.
        support: Segment ids by label of the prompt.
        shape: What was asked for; longer texts are cut, further items left out.
        tally: Counts what was dropped.

    Returns:
        The notes; every item has at least one id, in the order of `support`.

    Raises:
        ValueError: the answer has not the form of `schema`; the message quotes none of it.
    """
    try:
        answer = msgspec.json.decode(text, type=_Answer)
    except msgspec.ValidationError as error:
        message = str(error)
        raise ValueError("it has an unknown field" if "unknown" in message else message) from None
    except msgspec.DecodeError:
        raise ValueError("it is not JSON") from None
    items = {}
    for kind in KINDS:
        found = []
        for item in getattr(answer, kind)[: shape.items]:
            cited = _supported(item.segments, support, tally)
            if cited and item.text.strip():
                found.append(Item(item.text.strip()[: shape.item_characters], cited))
            else:
                tally.unsupported += 1
        items[kind] = tuple(found)
    return Notes(answer.summary.strip()[: shape.summary_characters], items)


def _supported(
    labels: Sequence[str], support: Mapping[str, Collection[str]], tally: Tally
) -> tuple[str, ...]:
    tally.given += len(labels)
    known = {label for label in labels if label in support}
    tally.dropped += sum(label not in support for label in labels)
    cited = (name for label in support if label in known for name in support[label])
    return tuple(dict.fromkeys(cited))


def invalid(why: str, text: str) -> HostError:
    """The error of an answer that cannot be used; it names the text by its digest alone."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return HostError(
        "llm_output_invalid",
        f"the model's answer cannot be used: {why} (sha256 {digest}, {len(text)} characters)",
        "send the request again, or use a larger model",
    )
