"""What the handlers of the gateway share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from glagol.core.executors import Executors
    from glagol.gateway.access.sessions import Sessions
    from glagol.gateway.library.library import Library
    from glagol.gateway.work.events import Events
    from glagol.gateway.work.models import Models
    from glagol.gateway.work.services import Services
    from glagol.gateway.work.transcriber import Transcriber
    from glagol.gateway.work.uploads import Uploads
    from glagol.web.access.api_keys import Keyring

__all__ = ["Door", "Service"]


@dataclass(frozen=True, slots=True)
class Door:
    """Decides whether people must sign in to open the pages.

    Attributes:
        setting: The operator's choice.
        here: Whether the server listens on this machine alone.
        keys: The keys as they are now; None while they are off.
    """

    setting: Literal["auto", "none", "key"]
    here: bool
    keys: Callable[[], Keyring | None]

    def signin(self) -> Literal["none", "key"]:
        """Whether people have to sign in now."""
        if self.setting == "auto":
            return "none" if self.here and self.keys() is None else "key"
        return self.setting

    def closed(self) -> bool:
        """Whether people have to sign in, and cannot, since there is no key."""
        return self.signin() == "key" and self.keys() is None

    def ring(self) -> Keyring | None:
        """The keys for signing in; None without sign-in, or without keys."""
        return self.keys() if self.signin() == "key" else None


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers share.

    Attributes:
        library: Recordings, texts and edits.
        uploads: Recordings that are still arriving.
        events: The open pages.
        transcriber: Brings recordings to their text.
        services: The servers behind the gateway, as they are now.
        models: The models of these servers.
        sessions: People who signed in.
        door: Decides whether people must sign in.
        executors: The threads that handlers wait in.
        clock: Unix seconds.
    """

    library: Library
    uploads: Uploads
    events: Events
    transcriber: Transcriber
    services: Services
    models: Models
    sessions: Sessions
    door: Door
    executors: Executors
    clock: Callable[[], float]
