"""The JSON of our own routes; msgspec Structs, so that the OpenAPI document follows from them."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ModelEntry", "ModelList"]


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The served model in OpenAI's shape, with what a user must know about it.

    Attributes:
        id: Of the manifest.
        object: Always "model".
        created: Always 0: the manifest has versions, not dates.
        owned_by: Always "glagol".
        version: Upstream's.
        license: SPDX expression.
        aliases: Other names that a request may use.
        variant: The build that serves.
        max_model_len: Tokens that prompt and completion may have together.
        digests: SHA-256 of each file.
        note: What a user must know.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["glagol"] = "glagol"
    version: str
    license: str
    aliases: tuple[str, ...]
    variant: str
    max_model_len: int
    digests: dict[str, str]
    note: str


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's list, with the manifest that it comes from."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]
    manifest_version: int
    manifest_sha256: str
