"""The parts of a gateway, put together: the same for `glagol serve` and for gateway-server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.core.executors import Executors
from glagol.gateway.access.sessions import Sessions
from glagol.gateway.library.library import Library
from glagol.gateway.service import Door, Service
from glagol.gateway.work.asr import Asr
from glagol.gateway.work.background import Background
from glagol.gateway.work.copies import Copies
from glagol.gateway.work.events import Events
from glagol.gateway.work.models import Models
from glagol.gateway.work.retention import Retention
from glagol.gateway.work.services import Services
from glagol.gateway.work.transcriber import Transcriber
from glagol.gateway.work.uploads import Uploads
from glagol.gateway.work.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.settings import Settings
    from glagol.gateway.work.services import Client
    from glagol.speech.audio.jail.pool import Jail

__all__ = ["Gateway", "assemble"]

FOLDER: Final = "library"
"""Of the library, in the directory of state."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is not started yet.

    Attributes:
        service: What its handlers share.
        background: What works beside them.
        clients: Of the services behind it.
    """

    service: Service
    background: Background
    clients: Mapping[str, Client]

    async def close(self) -> None:
        """End what works, then close what is open."""
        await self.background.close()
        for each in self.clients.values():
            await each.aclose()
        self.service.executors.close()


def assemble(
    state: Path, clients: Mapping[str, Client], door: Door, jail: Jail, settings: Settings
) -> Gateway:
    """Open the library and put everything around it.

    Args:
        state: Directory of state; the library is in it.
        clients: Of the services, by name; `asr` is among them.
        door: Decides whether people must sign in.
        jail: Opens recordings; started.
        settings: The operator's.

    Raises:
        HostError: The library cannot be opened.
    """
    root = state / FOLDER
    library, executors, events = Library(root), Executors(), Events()
    asr = Asr(clients["asr"], executors.disk)
    transcriber = Transcriber(library, asr, events, executors.disk)
    services = Services(clients, events)
    uploads = Uploads(library, root / "arriving", settings.max_upload_bytes)
    retention = Retention(library, uploads, transcriber, events, executors.disk, time.time)
    service = Service(
        library,
        uploads,
        events,
        transcriber,
        services,
        Models(clients, time.monotonic),
        Sessions(library.db, time.time),
        door,
        executors,
        time.time,
    )
    copies = Copies(library, jail, events, executors.disk)
    works = [transcriber.run, services.run, retention.run, copies.run]
    if settings.watch:
        folder = Path(settings.watch)
        works.append(Watch(folder, library, uploads, events, executors.disk, time.time).run)
    return Gateway(service, Background(works), clients)
