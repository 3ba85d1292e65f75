"""The servers behind the gateway: which there are, and whether each is ready.

Each is asked for `/ready` every few seconds by one loop of the process; pages get what it
found and ask nothing themselves.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.work.events import Events

__all__ = ["Client", "Services", "Standing", "client"]

LOOK_S: Final = 3.0
Client = httpx.AsyncClient


class Standing(msgspec.Struct, frozen=True):
    """How one service is.

    Attributes:
        there: Whether the operator has one.
        ready: Whether it serves.
        model: That serves.
        note: What users of the model must know.
        trouble: Code of why it does not serve; empty.
    """

    there: bool = False
    ready: bool = False
    model: str = ""
    note: str = ""
    trouble: str = ""


class _Provenance(msgspec.Struct, frozen=True):
    model: str = ""


class _Report(msgspec.Struct, frozen=True):
    provenance: _Provenance = _Provenance()
    model: str = ""


class _Error(msgspec.Struct, frozen=True):
    code: str = "internal"


class _Ready(msgspec.Struct, frozen=True):
    data: _Report | None = None
    error: _Error | None = None


class _Entry(msgspec.Struct, frozen=True):
    note: str = ""


def client(url: str, key: str = "", app: Any = None) -> Client:
    """A client of a service, over HTTP or in this process.

    Args:
        url: Its address; any for an application in this process.
        key: The gateway's key there; empty for none.
        app: The application in this process; None for HTTP.
    """
    for chatty in ("httpx", "httpcore"):  # they tell every request of ours
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {key}"} if key else {},
        transport=httpx.ASGITransport(app) if app is not None else None,
        timeout=httpx.Timeout(60.0, connect=3.0),
        trust_env=False,  # an operator's web proxy is not for machines behind the gateway
    )


class Services:
    """Looks at the services; used in the thread of the event loop alone.

    Args:
        clients: One for each service that there is, by name.
        events: The open pages.
    """

    def __init__(self, clients: Mapping[str, Client], events: Events) -> None:
        self._clients = clients
        self._events = events
        self._standing = {name: Standing(there=True, trouble="not_ready") for name in clients}

    def standing(self, name: str) -> Standing:
        """How a service is."""
        return self._standing.get(name, Standing())

    async def run(self) -> None:
        """Look until the task is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once at each, at the same time."""
        names = list(self._clients)
        found = await asyncio.gather(*map(self._look, names))
        for name, now in zip(names, found, strict=True):
            before, self._standing[name] = self._standing[name], now
            if now.ready != before.ready:
                self._events.upstream(name, ready=now.ready)

    async def _look(self, name: str) -> Standing:
        asked = self._clients[name]
        try:
            answer = await asked.get("/ready", timeout=LOOK_S)
            ready = msgspec.json.decode(answer.content, type=_Ready)
        except (httpx.HTTPError, msgspec.DecodeError):
            return Standing(there=True, trouble="upstream_unreachable")
        if not answer.is_success or ready.data is None:
            trouble = ready.error.code if ready.error else "not_ready"
            return Standing(there=True, trouble=trouble)
        model = ready.data.provenance.model or ready.data.model
        known = self._standing[name]
        note = known.note if known.model == model else await self._note(asked, model)
        return Standing(there=True, ready=True, model=model, note=note)

    async def _note(self, asked: Client, model: str) -> str:
        try:
            answer = await asked.get(f"/v1/models/{model}", timeout=LOOK_S)
            return msgspec.json.decode(answer.content, type=_Entry).note
        except (httpx.HTTPError, msgspec.DecodeError):
            return ""
