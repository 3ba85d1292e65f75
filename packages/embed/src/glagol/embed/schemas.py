"""The JSON bodies of the routes, as msgspec Structs, from which the OpenAPI document is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from glagol.embed.engine import Provenance

__all__ = ["Embedded", "EmbeddingList", "EmbeddingRequest", "ModelEntry", "ModelList", "Usage"]

Input = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            ]
        }
    ),
]


class EmbeddingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request's body: OpenAI's fields, and two of ours.

    Attributes:
        input: A text, a list of texts, a list of tokens of this model, or a list of such lists.
        model: Id or alias of the model that serves.
        encoding_format: Numbers, or base64 of little-endian float32.
        dimensions: Keep so many numbers of each vector, made length 1 again. The model was not
            trained for it: 384 of 384 is what it knows.
        user: Ignored.
        input_type: What the texts are for; the model's own prefix is put in front. `raw` adds none.
        truncate: Whether a text that is too long loses its end; else it is refused.
    """

    input: Input
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
    input_type: Literal["raw", "query", "passage"] = "raw"
    truncate: bool = False


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """One vector.

    Attributes:
        object: Always "embedding".
        index: Of its text in the request.
        embedding: Numbers, or base64.
    """

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of the request, prefixes and both ends of each text included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's answer, with what made it.

    Attributes:
        object: Always "list".
        data: Vectors in the order of the texts.
        model: Id of the model.
        usage: Tokens.
        truncated: Indices of the texts that lost their end.
        provenance: Which bytes made the vectors; only vectors of equal provenance compare.
    """

    object: Literal["list"] = "list"
    data: list[Embedded]
    model: str
    usage: Usage
    truncated: list[int]
    provenance: Provenance


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The served model in OpenAI's shape, with what a user must know about it.

    Attributes:
        id: Of the manifest.
        object: Always "model".
        created: Always 0: the manifest has versions, not dates.
        owned_by: Always "glagol".
        version: Upstream's.
        license: SPDX expression.
        languages: BCP 47 tags.
        aliases: Other names that a request may use.
        dimensions: Of a vector.
        max_model_len: Tokens of a text with both ends.
        query_prefix: What `input_type` query puts in front.
        passage_prefix: What `input_type` passage puts in front.
        digests: SHA-256 of each file, by variant.
        note: What a user must know.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["glagol"] = "glagol"
    version: str
    license: str
    languages: tuple[str, ...]
    aliases: tuple[str, ...]
    dimensions: int
    max_model_len: int
    query_prefix: str
    passage_prefix: str
    digests: dict[str, dict[str, str]]
    note: str


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's list, with the manifest that it comes from."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]
    manifest_version: int
    manifest_sha256: str
