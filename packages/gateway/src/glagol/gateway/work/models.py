"""The models of the services behind the gateway, as each service lists its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glagol.gateway.work.services import Client

__all__ = ["Model", "Models"]

FRESH_S: Final = 5.0
"""How long a list is not asked for again."""

_PATIENCE_S: Final = 3.0
_WHOLE: Final = "asr"  # it lists the whole manifest
_ROLES: Final = {"llm": "llm", "embed": "embed"}


class Model(msgspec.Struct, frozen=True):
    """A model.

    Attributes:
        id: Of the manifest.
        version: Of the model.
        engine: That runs it.
        license: As an SPDX expression.
        languages: Codes; empty where it has none.
        aliases: Other names of it.
        default: Whether requests that name no model get it.
        digests: SHA-256 of each file, by variant and path.
        sizes: Bytes by variant.
        note: What users must know.
        role: What it is for: asr, vad, speakers, llm or embed.
        tasks: What a request may ask of it.
        state: open, present, missing or unpinned; a service that has one model serves it.
        service: That lists it.
    """

    id: str
    version: str = ""
    engine: str = ""
    license: str = ""
    languages: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    default: bool = False
    digests: dict[str, dict[str, str]] = {}
    sizes: dict[str, int] = {}
    note: str = ""
    role: str | None = None
    tasks: tuple[str, ...] = ()
    state: str = "open"
    service: str = ""

    @property
    def here(self) -> bool:
        """Whether its files are in reach of its service."""
        return self.state in {"open", "present"}


class _List(msgspec.Struct, frozen=True):
    data: tuple[Model, ...]


class Models:
    """Asks the services; used in the thread of the event loop alone.

    Args:
        clients: One for each service that there is, by name.
        clock: Seconds that never go back.
    """

    def __init__(self, clients: Mapping[str, Client], clock: Callable[[], float]) -> None:
        self._clients = clients
        self._clock = clock
        self._found: dict[str, tuple[float, tuple[Model, ...]]] = {}

    async def every(self) -> list[Model]:
        """The models of all services; one that a service of its own has is listed by that alone."""
        found = await asyncio.gather(*map(self.of, self._clients))
        own = {model.id for some in found for model in some if model.service != _WHOLE}
        return [m for some in found for m in some if m.service != _WHOLE or m.id not in own]

    async def of(self, name: str) -> tuple[Model, ...]:
        """The models of one service; none while it is away."""
        at_s, kept = self._found.get(name, (float("-inf"), ()))
        if self._clock() - at_s < FRESH_S:
            return kept
        try:
            answer = await self._clients[name].get("/v1/models", timeout=_PATIENCE_S)
            found = msgspec.json.decode(answer.content, type=_List).data
        except (httpx.HTTPError, msgspec.DecodeError):
            return ()
        models = tuple(
            msgspec.structs.replace(each, service=name, role=each.role or _ROLES.get(name))
            for each in found
        )
        self._found[name] = (self._clock(), models)
        return models
