"""What the handlers of embed-server share."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Request
from litestar.datastructures import State

if TYPE_CHECKING:
    from glagol.core.shares import Shares
    from glagol.embed.metrics import Metrics
    from glagol.embed.pool import Pool
    from glagol.embed.settings import Settings
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["EmbedRequest", "Service", "service_of"]

TEXT_THREADS: Final = 2

EmbedRequest = Request[Any, Any, State]


def _threads() -> Executor:
    return ThreadPoolExecutor(TEXT_THREADS, thread_name_prefix="text")


@dataclass(frozen=True, slots=True)
class Service:
    """Kept as `app.state.service`.

    Attributes:
        settings: The operator's.
        registry: Manifest and store.
        model: The entry that serves.
        pool: Computes.
        places: Requests under way, and whose.
        metrics: What operators watch.
        texts: Threads that read bodies and write answers.
        stopping: Set once the server has to stop.
    """

    settings: Settings
    registry: Registry
    model: Model
    pool: Pool
    places: Shares
    metrics: Metrics
    texts: Executor = field(default_factory=_threads)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self) -> tuple[str, ...]:
        """Names that a request may give the model."""
        return (self.model.id, *self.model.aliases)

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place."""
        return 1


def service_of(request: EmbedRequest) -> Service:
    """The service behind a request."""
    return cast("Service", request.app.state.service)
