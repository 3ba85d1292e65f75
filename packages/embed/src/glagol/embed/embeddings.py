"""`POST /v1/embeddings`: OpenAI's route."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from litestar import post
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.core.errors import InputError, LimitError
from glagol.core.executors import call
from glagol.embed import schemas
from glagol.embed.service import EmbedRequest, Service, service_of
from glagol.web import envelope, errors
from glagol.web.access.owner import owner_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.embed.engine import Embedder

__all__ = ["embeddings"]

BODY_BYTES_MAX: Final = 16 << 20
TEXTS_MAX: Final = 2048
TOKENS_MAX: Final = 300_000
"""Of one request, texts and tokens; OpenAI's own limits."""

_RESPONSES: Final = {
    200: ResponseSpec(schemas.EmbeddingList, description="The vectors", generate_examples=False),
    **errors.responses(
        {
            400: "The request is wrong, there is no text, or a text is too long",
            404: "There is no such model",
            429: "Too many requests are under way",
            503: "The model is not ready",
        },
        envelope.OpenaiFailure,
    ),
}


@post(
    "/v1/embeddings",
    status_code=200,
    summary="Texts as vectors",
    responses=_RESPONSES,
    request_max_body_size=BODY_BYTES_MAX,
)
async def embeddings(request: EmbedRequest) -> Response[bytes]:
    """JSON in, JSON out; `docs/guides/embeddings.md` has examples.

    Raises:
        InputError: `request_invalid`, `text_empty`, `model_unknown`.
        LimitError: `prompt_too_long`, `share_used`, `busy`.
        HostError: `not_ready`.
    """
    service = service_of(request)
    embedder = service.pool.embedder()
    with service.places.held(owner_of(request.scope)):
        body = await request.body()
        parsed, rows, truncated = await call(service.texts, _read, body, service, embedder)
        future = service.pool.submit(rows)
        try:
            vectors = await asyncio.wrap_future(future)
        finally:
            future.cancel()
        answer = await call(
            service.texts, _encoded_answer, parsed, rows, truncated, vectors, embedder
        )
    note = request.scope["state"]["note"]
    note.update(texts=len(rows), tokens=sum(map(len, rows)))
    return Response(answer, media_type="application/json")


def _read(
    body: bytes, service: Service, embedder: Embedder
) -> tuple[schemas.EmbeddingRequest, list[list[int]], list[int]]:
    """The request, the token ids of its texts, and the indices of those that were cut."""
    try:
        parsed = msgspec.json.decode(body, type=schemas.EmbeddingRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _WrongError(f"the body is not as it must be: {error}") from error
    if parsed.model not in service.names:
        raise InputError(
            "model_unknown",
            f"{parsed.model[:128]!r} is not served here",
            f"use {', '.join(service.names)}",
        )
    size = embedder.parameters.dimensions
    if parsed.dimensions is not None and not 1 <= parsed.dimensions <= size:
        raise _WrongError(f"dimensions must be 1 to {size}", "dimensions")
    rows, truncated = [], []
    for index, item in enumerate(_items(parsed.input)):
        if isinstance(item, str):
            ids, cut = embedder.tokens(_text(item), parsed.input_type, cut=parsed.truncate)
            truncated += [index] if cut else []
        else:
            ids = embedder.tokenizer.accept(item)
        rows.append(ids)
    count = sum(map(len, rows))
    if count > TOKENS_MAX:
        raise LimitError(
            "prompt_too_long",
            f"the texts have {count} tokens together, the limit is {TOKENS_MAX}",
            "send them in several requests",
        )
    return parsed, rows, truncated


def _items(given: Any) -> list[Any]:
    """The texts, or lists of tokens, of a request."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise _WrongError("input must be a text, a list of texts, or lists of tokens", "input")
    if not given:
        raise InputError("text_empty", "input is an empty list", "send at least one text")
    if all(_is_token(item) for item in given):
        return [given]
    if len(given) > TEXTS_MAX:
        raise _WrongError(f"input has {len(given)} texts, the limit is {TEXTS_MAX}", "input")
    texts = all(isinstance(item, str) for item in given)
    if not texts and not all(
        isinstance(item, list) and all(_is_token(token) for token in item) for item in given
    ):
        raise _WrongError("input must be a text, a list of texts, or lists of tokens", "input")
    return given


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: str) -> str:
    """A text without half a character, which no tokenizer takes."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _WrongError("a text holds half of a surrogate pair", "input") from error
    return value


def _encoded_answer(
    parsed: schemas.EmbeddingRequest,
    rows: list[list[int]],
    truncated: list[int],
    vectors: NDArray[np.float32],
    embedder: Embedder,
) -> bytes:
    """The answer around vectors [N, D]."""
    if parsed.dimensions is not None and parsed.dimensions < vectors.shape[1]:
        vectors = vectors[:, : parsed.dimensions]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = (vectors / np.maximum(lengths, np.float32(1e-12))).astype(np.float32)
    count = sum(map(len, rows))
    return msgspec.json.encode(
        schemas.EmbeddingList(
            data=[
                schemas.Embedded(index=index, embedding=_written(parsed, vector))
                for index, vector in enumerate(vectors)
            ],
            model=embedder.provenance.model,
            usage=schemas.Usage(prompt_tokens=count, total_tokens=count),
            truncated=truncated,
            provenance=embedder.provenance,
        )
    )


def _written(parsed: schemas.EmbeddingRequest, vector: NDArray[np.float32]) -> list[float] | str:
    """A vector [D] in the asked form."""
    if parsed.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers


class _WrongError(InputError):
    """A request that is not as it must be; `parameter` is the field at fault, if any."""

    def __init__(self, what: str, parameter: str | None = None) -> None:
        super().__init__("request_invalid", what, "see /docs for what the route takes")
        self.parameter = parameter
