"""Liveness, readiness, metrics and the model."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response import Response

from glagol.core.errors import InputError
from glagol.core.version import VERSION
from glagol.embed import schemas
from glagol.embed.config import configured
from glagol.embed.embeddings import embeddings
from glagol.embed.service import EmbedRequest, Service, service_of
from glagol.web import envelope, errors
from glagol.web.metrics import MEDIA_TYPE

__all__ = ["HANDLERS", "OPENAI"]

OPENAI: Final = ("/v1/embeddings", "/v1/models")


class _Facts(msgspec.Struct, frozen=True):
    """The answer of `GET /`."""

    name: str
    version: str
    state: str
    model: str
    docs: str


@get("/", include_in_schema=False, sync_to_thread=False)
def home(request: EmbedRequest) -> Response[bytes]:
    """Name, version and state."""
    service = service_of(request)
    trouble = service.pool.trouble
    state = "ready" if trouble is None else "waiting" if trouble.code == "not_ready" else "broken"
    facts = _Facts("Glagol embed-server", VERSION, state, service.model.id, "/docs")
    return _json(msgspec.json.encode(facts))


@get("/health", summary="The process answers", sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about the model."""
    return _json(b'{"status":"alive"}')


@get("/ready", summary="The model is verified, loaded and proven", sync_to_thread=False)
def ready(request: EmbedRequest) -> Response[bytes]:
    """Readiness: 503 with the reason until a text was embedded.

    Raises:
        HostError: `not_ready`, `provider_missing`.
        IntegrityError: `artifact_missing`, `artifact_altered`, `artifact_unpinned`.
    """
    embedder = service_of(request).pool.embedder()
    return _json(msgspec.json.encode({"status": "ready", "provenance": embedder.provenance}))


@get("/metrics", summary="Prometheus metrics", sync_to_thread=False)
def metrics(request: EmbedRequest) -> Response[bytes]:
    """Text format."""
    return Response(service_of(request).metrics.text(), media_type=MEDIA_TYPE)


@get("/v1/models", summary="The model that is served", sync_to_thread=False)
def models(request: EmbedRequest) -> Response[schemas.ModelList]:
    """OpenAI's list shape, with digests."""
    service = service_of(request)
    return Response(
        schemas.ModelList(
            data=[_entry(service)],
            manifest_version=service.registry.manifest.manifest_version,
            manifest_sha256=service.registry.manifest_sha256,
        )
    )


@get(
    "/v1/models/{name:path}",
    summary="The model by id or alias",
    responses=errors.responses({404: "There is no such model"}, envelope.OpenaiFailure),
    sync_to_thread=False,
)
def model(request: EmbedRequest, name: FromPath[str]) -> Response[schemas.ModelEntry]:
    """The entry of the list; an alias may hold a slash.

    Raises:
        InputError: `model_unknown`.
    """
    service = service_of(request)
    asked = name.removeprefix("/")
    if asked not in service.names:
        known = ", ".join(service.names)
        raise InputError("model_unknown", f"{asked[:128]!r} is not served here", f"use {known}")
    return Response(_entry(service))


def _entry(service: Service) -> schemas.ModelEntry:
    model, parameters = service.model, configured(service.model)
    return schemas.ModelEntry(
        id=model.id,
        version=model.version,
        license=model.license,
        languages=model.languages,
        aliases=model.aliases,
        dimensions=parameters.dimensions,
        max_model_len=parameters.tokens_max,
        query_prefix=parameters.query_prefix,
        passage_prefix=parameters.passage_prefix,
        digests={
            variant.id: {a.path: a.sha256 for a in variant.artifacts} for variant in model.variants
        },
        note=model.note,
    )


def _json(data: bytes) -> Response[bytes]:
    return Response(envelope.success(data), media_type="application/json")


HANDLERS: Final = [home, health, ready, metrics, models, model, embeddings]
