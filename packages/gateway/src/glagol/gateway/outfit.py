"""The parts of a gateway, put together: the same for `glagol serve` and for gateway-server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.core.errors import InputError
from glagol.core.executors import Executors
from glagol.gateway import keys
from glagol.gateway.access.oidc import Provider
from glagol.gateway.access.proxy import Proxy, networks
from glagol.gateway.access.sessions import Sessions
from glagol.gateway.library.library import Library
from glagol.gateway.service import Door, Service
from glagol.gateway.work import outbox
from glagol.gateway.work.asr import Asr
from glagol.gateway.work.background import Background
from glagol.gateway.work.copies import Copies
from glagol.gateway.work.events import Events
from glagol.gateway.work.models import Models
from glagol.gateway.work.retention import Retention
from glagol.gateway.work.search import Indexer, Search
from glagol.gateway.work.services import Services
from glagol.gateway.work.transcriber import Transcriber
from glagol.gateway.work.uploads import Uploads
from glagol.gateway.work.watch import Watch
from glagol.web.access.people import PeopleFile

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
        if self.service.provider is not None:
            await self.service.provider.close()
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
        InputError: `setting_invalid`, the settings of the sign-in do not fit together.
        HostError: The library cannot be opened.
    """
    root = state / FOLDER
    library, executors, events = Library(root), Executors(), Events()
    outbox.prepare(library.db)
    asr = Asr(clients["asr"], executors.disk)
    transcriber = Transcriber(library, asr, events, executors.disk)
    services = Services(clients, events)
    uploads = Uploads(library, root / "arriving", settings.max_upload_bytes)
    retention = Retention(library, uploads, transcriber, events, executors.disk, time.time)
    search = Search(clients["rag"]) if "rag" in clients else None
    service = Service(
        library,
        uploads,
        events,
        transcriber,
        services,
        search,
        Models(clients, time.monotonic),
        Sessions(library.db, time.time, _proxy(settings)),
        door,
        PeopleFile(state).current,
        _provider(settings),
        executors,
        time.time,
    )
    copies = Copies(library, jail, events, executors.disk)
    works = [transcriber.run, services.run, retention.run, copies.run]
    if search is not None:
        works.append(Indexer(library, search, executors.disk).run)
    if settings.watch:
        folder = Path(settings.watch)
        works.append(Watch(folder, library, uploads, events, executors.disk, time.time).run)
    return Gateway(service, Background(works), clients)


def _proxy(settings: Settings) -> Proxy | None:
    """What names people; None where no proxy does.

    Raises:
        InputError: `setting_invalid`.
    """
    if settings.signin != "proxy":
        return None
    if not settings.proxies:
        raise InputError(
            "setting_invalid",
            "GATEWAY_SIGNIN=proxy trusts no address",
            "set GATEWAY_PROXIES to the addresses of the proxy",
        )
    return Proxy(networks(settings.proxies), settings.proxy_header)


def _provider(settings: Settings) -> Provider | None:
    """Where people sign in; None where that is here.

    Raises:
        InputError: `setting_invalid`.
    """
    if settings.signin != "oidc":
        return None
    secret = keys.read(settings.oidc_secret_file, "GATEWAY_OIDC_SECRET_FILE")
    client, claim = settings.oidc_client, settings.oidc_claim
    return Provider(settings.oidc_issuer, client, secret, claim, time.time)
