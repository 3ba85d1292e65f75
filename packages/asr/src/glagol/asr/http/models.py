"""The models of the manifest in OpenAI's list shape."""

from __future__ import annotations

from typing import Literal

from litestar import get
from litestar.params import FromPath
from litestar.response import Response

from glagol.asr.http import schemas
from glagol.asr.http.engine_options import TASKS
from glagol.asr.http.options import traits_of, transcribes
from glagol.asr.http.request import AsrRequest, Service, service_of
from glagol.registry.manifest.rules import role_of
from glagol.registry.manifest.types import Model
from glagol.web import envelope, errors

__all__ = ["model", "models"]


@get("/v1/models", summary="The models of the manifest", sync_to_thread=False)
def models(request: AsrRequest) -> Response[schemas.ModelList]:
    """OpenAI's list shape, with digests and what a user must know about each model."""
    service = service_of(request)
    return Response(
        schemas.ModelList(
            data=[_entry(each, service) for each in service.registry.manifest.models],
            manifest_version=service.registry.manifest.manifest_version,
            manifest_sha256=service.registry.manifest_sha256,
        )
    )


@get(
    "/v1/models/{name:path}",
    summary="One model of the manifest",
    responses=errors.responses({404: "There is no such model"}, envelope.OpenaiFailure),
    sync_to_thread=False,
)
def model(request: AsrRequest, name: FromPath[str]) -> Response[schemas.ModelEntry]:
    """One entry of the list, by id or alias; an alias may hold a slash.

    Raises:
        InputError: `model_unknown`.
    """
    service = service_of(request)
    return Response(_entry(service.registry.model(name.removeprefix("/")), service))


def _entry(model: Model, service: Service) -> schemas.ModelEntry:
    return schemas.ModelEntry(
        id=model.id,
        version=model.version,
        engine=model.engine,
        license=model.license,
        languages=model.languages,
        aliases=model.aliases,
        default=model.id == service.default,
        digests={
            variant.id: {a.path: a.sha256 for a in variant.artifacts} for variant in model.variants
        },
        note=model.note or model.unpinned,
        role=role_of(model),
        tasks=_tasks(model),
        state=state_of(model, service),
        sizes={
            variant.id: sum(artifact.size_bytes for artifact in variant.artifacts)
            for variant in model.variants
            if variant.artifacts
        },
    )


def _tasks(model: Model) -> tuple[str, ...]:
    """What a request may ask of a model that transcribes, by an engine that this program has."""
    if not transcribes(model):
        return ()
    return TASKS if traits_of(model).translates else TASKS[:1]


def state_of(model: Model, service: Service) -> Literal["open", "present", "missing", "unpinned"]:
    """Whether a model can serve; of a recogniser's variants those that the settings choose."""
    settings, has = service.settings, service.registry.store.has
    built = [variant for variant in model.variants if variant.artifacts]
    if model.id in service.engine.encoded():
        return "open"
    fitting = [
        variant
        for variant in built
        if role_of(model) != "asr"
        or (variant.provider == settings.device and settings.variant in ("", variant.id))
    ]
    if any(all(has(artifact.sha256) for artifact in variant.artifacts) for variant in fitting):
        return "present"
    return "missing" if built else "unpinned"
