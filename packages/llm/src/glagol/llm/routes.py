"""Our own routes: liveness, readiness, metrics, the model; and OpenAI's, passed through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import httpx
import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ASGIApp

from glagol.core.errors import HostError, InputError
from glagol.llm import schemas
from glagol.llm.metrics import of_vllm
from glagol.llm.proxy.forward import ForwardedRequest
from glagol.web import envelope
from glagol.web.metrics import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.llm.metrics import Metrics
    from glagol.llm.proxy.exchange import Address
    from glagol.llm.settings import Settings
    from glagol.llm.slots import Slots
    from glagol.llm.vllm.arguments import Served
    from glagol.llm.vllm.supervisor import Supervisor

__all__ = ["HANDLERS", "OPENAI", "Service"]

BODY_BYTES_MAX: Final = 16 << 20
OPENAI: Final = ("/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/models")
METRICS_S: Final = 2.0
_OK: Final = 200

LlmRequest = Request[Any, Any, State]


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers share; kept as `app.state.service`.

    Attributes:
        settings: The operator's.
        what: The model.
        manifest_version: Of the manifest that named it.
        manifest_sha256: Digest of that manifest.
        supervisor: Keeps vLLM alive.
        client: Connected to vLLM.
        address: The same vLLM's.
        places: How many requests the model works on.
        metrics: What operators watch.
    """

    settings: Settings
    what: Served
    manifest_version: int
    manifest_sha256: str
    supervisor: Supervisor
    client: httpx.AsyncClient
    address: Address
    places: Slots
    metrics: Metrics

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place."""
        return self.supervisor.retry_after_s()

    def provenance(self) -> Mapping[str, Any]:
        """Model, digests and versions, for `/ready` and every summary."""
        return {
            "model": self.what.model.id,
            "model_version": self.what.model.version,
            "variant": self.what.variant.id,
            "artifacts": self.what.digests,
            "manifest_version": self.manifest_version,
            "manifest_sha256": self.manifest_sha256,
            "max_context": self.settings.max_context,
            "vllm": self.supervisor.report.get("vllm", "unknown"),
        }


def _service(request: LlmRequest) -> Service:
    return cast("Service", request.app.state.service)


@get("/health", summary="The process answers", sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about the model."""
    return _json(b'{"status":"alive"}')


@get("/ready", summary="The model is verified, loaded and proven", sync_to_thread=False)
def ready(request: LlmRequest) -> Response[bytes]:
    """Readiness: 503 with the reason until the known prompt was answered.

    Raises:
        HostError: `not_ready`, `llm_unavailable`, `vram_too_small`.
        IntegrityError: `artifact_missing`, `artifact_altered`.
    """
    service = _service(request)
    trouble = service.supervisor.trouble
    if trouble is None:
        report = {**service.supervisor.report, "provenance": service.provenance()}
        return _json(msgspec.json.encode(report))
    if isinstance(trouble, InputError):
        raise HostError("not_ready", trouble.message, trouble.remedy)
    raise trouble


@get("/metrics", summary="Prometheus metrics, ours and vLLM's")
async def metrics(request: LlmRequest) -> Response[bytes]:
    """Text format; vLLM's families `vllm:*` follow ours while it answers."""
    service = _service(request)
    theirs = b""
    if service.supervisor.trouble is None:
        try:
            answer = await service.client.get("/metrics", timeout=METRICS_S)
            theirs = of_vllm(answer.content) if answer.status_code == _OK else b""
        except httpx.TransportError:
            theirs = b""
    return Response(service.metrics.text() + theirs, media_type=MEDIA_TYPE)


@get("/v1/models", summary="The model that is served", sync_to_thread=False)
def models(request: LlmRequest) -> Response[schemas.ModelList]:
    """OpenAI's list shape, with digests."""
    service = _service(request)
    return Response(
        schemas.ModelList(
            data=[_entry(service)],
            manifest_version=service.manifest_version,
            manifest_sha256=service.manifest_sha256,
        )
    )


@get("/v1/models/{name:path}", summary="The model by id or alias", sync_to_thread=False)
def model(request: LlmRequest, name: FromPath[str]) -> Response[schemas.ModelEntry]:
    """The entry of the list; an alias may hold a slash.

    Raises:
        InputError: `model_unknown`.
    """
    service = _service(request)
    asked = name.removeprefix("/")
    if asked not in service.what.names:
        known = ", ".join(service.what.names)
        raise InputError("model_unknown", f"{asked[:128]!r} is not served here", f"use {known}")
    return Response(_entry(service))


@post(
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"],
    status_code=200,
    summary="OpenAI's API, as vLLM serves it",
    request_max_body_size=BODY_BYTES_MAX,
)
async def passed(request: LlmRequest) -> ASGIApp:
    """The body goes to vLLM as it is, the answer comes back as it is, streams too.

    Raises:
        HostError: `llm_unavailable` or `not_ready`, vLLM cannot be asked now.
        LimitError: `queue_full`.
    """
    service = _service(request)
    service.supervisor.upstream()
    give_back = service.places.take()
    try:
        body = await request.body()
        forwarded = ForwardedRequest(service.address, request.scope["path"], body, give_back)
    except BaseException:
        give_back()
        raise
    return cast("ASGIApp", forwarded)


def _entry(service: Service) -> schemas.ModelEntry:
    what = service.what
    return schemas.ModelEntry(
        id=what.model.id,
        version=what.model.version,
        license=what.model.license,
        aliases=what.model.aliases,
        variant=what.variant.id,
        max_model_len=service.settings.max_context,
        digests=what.digests,
        note=what.model.note,
    )


def _json(data: bytes) -> Response[bytes]:
    return Response(envelope.success(data), media_type="application/json")


HANDLERS: Final = [health, ready, metrics, models, model, passed]
