"""What the handlers of rag-server share: the library, opened beside the start, and its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Request
from litestar.datastructures import State

from glagol.core.errors import GlagolError, HostError
from glagol.web.access.auth import caller_of
from glagol.web.audit_log import entry_of, note
from glagol.web.metrics import RequestMetrics

if TYPE_CHECKING:
    from glagol.core.shares import Shares
    from glagol.embed.engine import Provenance
    from glagol.rag.answers import Talk
    from glagol.rag.http.settings import Settings
    from glagol.rag.library import Library
    from glagol.web.audit_log import AuditLog

__all__ = ["Opening", "RagRequest", "Service", "service_of"]

THREADS: Final = 4

RagRequest = Request[Any, Any, State]


class Opening:
    """The library while it is being opened, and then.

    Args:
        opener: Opens it; called once, in a thread.
    """

    def __init__(self, opener: Callable[[], Library]) -> None:
        self._opener = opener
        self._library: Library | None = None
        self._trouble: GlagolError = HostError(
            "not_ready", "model and index are being opened", "ask again in a few seconds"
        )
        self._thread = threading.Thread(target=self._open, name="open", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def library(self) -> Library:
        """The open library.

        Raises:
            GlagolError: why there is none.
        """
        if self._library is None:
            raise self._trouble
        return self._library

    @property
    def ready(self) -> bool:
        """Whether it is open."""
        return self._library is not None

    def close(self) -> None:
        """Close what was opened."""
        self._thread.join()
        if self._library is not None:
            self._library.close()

    def _open(self) -> None:
        try:
            self._library = self._opener()
        except GlagolError as error:
            self._trouble = error


def _threads() -> Executor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="search")


@dataclass(frozen=True, slots=True)
class Service:
    """Kept as `app.state.service`.

    Attributes:
        settings: The operator's.
        opening: Gives the library.
        talk: Asks the language model; None where there is none.
        places: Requests under way, and whose.
        metrics: What operators watch.
        audit: Gets a line for each recording that is put or forgotten; None without a state.
        work: Threads that search and index.
        stopping: Set once the server shall end.
    """

    settings: Settings
    opening: Opening
    talk: Talk | None
    places: Shares
    metrics: RequestMetrics
    audit: AuditLog | None = None
    work: Executor = field(default_factory=_threads)
    stopping: threading.Event = field(default_factory=threading.Event)

    def noted(self, event: str, request: RagRequest, origin: Provenance, detail: str) -> None:
        """Write an audit line about what a request did; waits for the disk.

        Args:
            event: `indexed` or `forgotten`.
            request: It.
            origin: Which bytes make the vectors.
            detail: Id of the recording, and its digest where it has one.
        """
        said = request.scope["state"]["note"]
        about = {"request": str(said["request_id"]), "call": str(said.get("call", ""))}
        owner = caller_of(request.scope).name
        note(self.audit, entry_of(event, origin, owner=owner, detail=detail, **about))

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place."""
        return 1


def service_of(request: RagRequest) -> Service:
    """The service behind a request."""
    return cast("Service", request.app.state.service)
