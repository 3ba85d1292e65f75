"""Read a text encoder's parameters from the manifest, and choose the entry that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from glagol.core.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["ENGINE", "Embedding", "chosen", "configured"]

ENGINE: Final = "bert"
"""The manifest's `engine` of what this package runs."""

ROLE: Final = "embed"

Count = Annotated[int, Meta(ge=1)]


class Embedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind",
                tag="embedding", kw_only=True):  # fmt: skip
    """Parameters of a text encoder. The last four are for the build only: the graph has them too.

    Attributes:
        dimensions: numbers of a vector.
        tokens_max: most tokens of a text, with the begin and end tokens.
        vocabulary: rows of the table of word embeddings.
        query_prefix: prefix of a question.
        passage_prefix: prefix of a text that is searched.
        pooling: how token vectors become one vector: the mean of all tokens, or the first token.
        heads: attention heads of a layer.
        epsilon: epsilon of every layer norm.
        first_position: row of the first token's position.
    """

    dimensions: Count
    tokens_max: Annotated[int, Meta(ge=3)]
    vocabulary: Annotated[int, Meta(ge=6)]
    query_prefix: str = ""
    passage_prefix: str = ""
    pooling: Literal["mean", "cls"] = "mean"
    heads: Count = 1
    epsilon: float = 1e-12
    first_position: Annotated[int, Meta(ge=0)] = 0


def configured(model: Model) -> Embedding:
    """The decoding parameters of an entry.

    Raises:
        InputError: `model_unknown`, the entry is for something else.
        IntegrityError: `manifest_invalid`, naming the parameter.
    """
    if model.engine != ENGINE:
        raise InputError(
            "model_unknown",
            f"{model.id} has the engine {model.engine!r}, which makes no vectors of texts",
            "choose a model for embeddings: glagol models list",
        )
    try:
        return msgspec.convert(model.decoding or {}, Embedding)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            "manifest_invalid",
            f"the decoding parameters of {model.id} do not fit the engine {ENGINE}: {error}",
            "restore manifest.json from the release or from version control",
        ) from error


def chosen(registry: Registry, name: str | None) -> Model:
    """The entry that serves: the named one, else the manifest's first for embeddings.

    Raises:
        InputError: `model_unknown`, there is none, or the named one is for something else.
        IntegrityError: `manifest_invalid`.
    """
    if name:
        model = registry.model(name)
        configured(model)
        return model
    for model in registry.manifest.models:
        if model.role == ROLE and model.engine == ENGINE:
            return model
    raise InputError(
        "model_unknown", "the manifest has no model for embeddings", "add one: glagol models add"
    )
