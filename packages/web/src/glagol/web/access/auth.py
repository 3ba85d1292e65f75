"""Check key, scope and limits of a request before its body is read.

This ASGI layer is inside `Observed`, which gives the request its id and logs it. With keys on, a
request needs `Authorization: Bearer KEY` and the scope of its route, and must be within the key's
limits. With keys off, only the rate of a client's address can be limited.

A long request, such as a stream, calls `recheck` regularly, so that a revoked key ends it.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import GlagolError, InputError
from glagol.core.hosts import is_loopback
from glagol.web import errors
from glagol.web.access.api_keys import Key, Keyring, Scope, now_utc
from glagol.web.access.host_check import header, named_host
from glagol.web.access.owner import client_of
from glagol.web.access.people import PersonKey
from glagol.web.access.policy import Policy
from glagol.web.access.rate_limit import Concurrency, Rate, RateLimitError
from glagol.web.access.refusal import plain, refuse

if TYPE_CHECKING:
    from glagol.web.request_log import Asgi, Receive, Send
    from glagol.web.request_log import Scope as AsgiScope

__all__ = [
    "KEY_PROTOCOL",
    "RECHECK_S",
    "Access",
    "Caller",
    "PathRules",
    "Signed",
    "caller_of",
    "recheck",
    "signed_by_nothing",
]

KEY_PROTOCOL: Final = "glagol.key."
RECHECK_S: Final = 1.0
"""How often a long request checks that its key is still valid."""

_REALM: Final = 'Bearer realm="glagol"'
_FORWARDED: Final = (b"forwarded", b"via", b"x-forwarded-", b"x-real-ip")


Signed = Callable[[Mapping[str, Any], Keyring], Key | None]


def signed_by_nothing(_scope: Mapping[str, Any], _ring: Keyring) -> None:
    """No session: a request has only the key that it sends."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of a request, as routes see it.

    Attributes:
        name: The key's name; empty while keys are off.
        admin: Whether it may see the jobs of all owners; True while keys are off.
        reads_only: Whether it is a person who may change nothing.
    """

    name: str = ""
    admin: bool = True
    reads_only: bool = False


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """The caller of a request; its name is also in `note["key"]` of the scope's state."""
    caller: Caller = scope.get("state", {}).get("caller", Caller())
    return caller


def recheck(scope: Mapping[str, Any]) -> None:
    """Check that the key of a request is still valid; always true while keys are off.

    Raises:
        InputError: `key_refused`, it was revoked or changed, or it expired.
    """
    allowed: Callable[[], bool] = scope.get("state", {}).get("still_allowed", lambda: True)
    if not allowed():
        raise _key_refused()


@dataclass(frozen=True, slots=True)
class PathRules:
    """Paths that need no key, and the scopes that other paths need.

    Attributes:
        open: Paths that need no key.
        local: Scope of paths that, where the policy says so, need no key from this machine.
        scopes: Path prefixes with their scope, the longest first; other paths need a key of any
            scope.
        open_below: Path prefixes that need no key.
    """

    open: frozenset[str]
    local: dict[str, Scope]
    scopes: Sequence[tuple[str, Scope]]
    open_below: tuple[str, ...] = ()

    def is_open(self, path: str) -> bool:
        """Whether `path` needs no key."""
        return path in self.open or path.startswith(self.open_below)

    def scope_of(self, path: str) -> Scope | None:
        """The scope that a key needs for `path`; None means any key."""
        if path in self.local:
            return self.local[path]
        return next((scope for start, scope in self.scopes if path.startswith(start)), None)


class Access:
    """ASGI layer that checks keys and limits, of HTTP and WebSocket alike.

    Args:
        app: The application.
        path_rules: Which paths need which scope.
        keys: Returns the current keys; None while keys are off.
        policy: Returns the current policy, with the limits of callers that have none of their own.
        speaker: The format of error responses by path.
        signed: Finds the key of a request without an Authorization header, such as by a session
            cookie; None if there is none.
        clock: Monotonic seconds.
        now: The current time, for the expiry of keys.
    """

    def __init__(
        self,
        app: Asgi,
        path_rules: PathRules,
        keys: Callable[[], Keyring | None],
        policy: Callable[[], Policy],
        speaker: errors.Speaker,
        signed: Signed = signed_by_nothing,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = now_utc,
    ) -> None:
        self._app = app
        self._path_rules = path_rules
        self._keys = keys
        self._policy = policy
        self._speaker = speaker
        self._signed = signed
        self._clock = clock
        self._now = now
        self._rate = Rate()
        self._concurrency = Concurrency()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            key = self._admitted(scope)
            with self._counted(scope, key):
                await self._app(scope, receive, send)
        except _Refused as refused:
            await refuse(scope, send, refused.error, self._speaker, _challenge(refused.error))

    def _admitted(self, scope: AsgiScope) -> Key | None:
        """The key that the request may use; None when it needs none."""
        path = plain(scope["path"])
        ring = self._keys()
        if ring is None or self._path_rules.is_open(path):
            return None
        if (
            path in self._path_rules.local
            and self._policy().metrics.without_key
            and _from_here(scope)
        ):
            return None
        key = self._signed(scope, ring) if not header(scope, b"authorization") else None
        if key is None:
            key = ring.find(_bearer(scope))
        if key is None or key.expired(self._now()):
            raise _Refused(_key_refused())
        wanted = self._path_rules.scope_of(path)
        if not key.may(wanted):
            raise _Refused(
                InputError(
                    "forbidden",
                    f"the key {key.name} has no scope {wanted}",
                    f"ask the operator for a key with the scope {wanted}",
                )
            )
        return key

    @contextmanager
    def _counted(self, scope: AsgiScope, key: Key | None) -> Iterator[None]:
        """Count the request against its caller's limits while it lasts."""
        state = scope.setdefault("state", {})
        limits = self._policy().limits
        if key is None:
            if self._keys() is None and not self._path_rules.is_open(plain(scope["path"])):
                self._take(f"@{client_of(scope)}", limits.client_rate_per_minute)
            yield
            return
        state["caller"] = Caller(
            key.name, "admin" in key.scopes, isinstance(key, PersonKey) and key.reads_only
        )
        state["still_allowed"] = partial(self._still_allows, key)
        state.setdefault("note", {})["key"] = key.name
        rate, concurrent = key.rate_per_minute, key.concurrent
        self._take(key.name, limits.rate_per_minute if rate is None else rate)
        limit = limits.concurrent if concurrent is None else concurrent
        try:
            self._concurrency.enter(key.name, limit)
        except RateLimitError as error:
            raise _Refused(error) from None
        try:
            yield
        finally:
            self._concurrency.leave(key.name)

    def _still_allows(self, key: Key) -> bool:
        """Whether a request that `key` opened may continue."""
        ring = self._keys()
        now = None if ring is None else ring.same(key)
        return ring is None or (
            now is not None and not now.expired(self._now()) and set(key.scopes) <= set(now.scopes)
        )

    def _take(self, caller: str, per_minute: int) -> None:
        try:
            self._rate.take(caller, per_minute, self._clock())
        except RateLimitError as error:
            raise _Refused(error) from None


def _key_refused() -> InputError:
    return InputError(
        "key_refused",
        "the key is unknown, revoked or expired",
        "ask the operator for a key (`glagol keys add NAME`)",
    )


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, error: GlagolError) -> None:
        super().__init__(error.code)
        self.error = error


def _bearer(scope: AsgiScope) -> str:
    """The key's text; a browser cannot set headers of a WebSocket, so a subprotocol may hold it."""
    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if not given and scope["type"] == "websocket":
        offered = [p for p in scope.get("subprotocols", ()) if p.startswith(KEY_PROTOCOL)]
        given = [b"Bearer " + p.removeprefix(KEY_PROTOCOL).encode("latin-1") for p in offered]
    scheme, _, text = given[0].decode("latin-1").partition(" ") if given else ("", "", "")
    if len(given) != 1 or scheme.lower() != "bearer" or not text.strip():
        raise _Refused(
            InputError(
                "key_missing",
                "this server requires a key",
                "send the header Authorization: Bearer KEY",
            )
        )
    return text.strip()


def _challenge(error: GlagolError) -> list[tuple[bytes, bytes]]:
    """Response headers of a refusal, by RFC 6750 and RFC 6585."""
    if isinstance(error, RateLimitError):
        return [(b"retry-after", str(error.retry_after_s).encode())]
    if error.code == "key_missing":
        return [(b"www-authenticate", _REALM.encode())]
    if error.code == "key_refused":
        return [(b"www-authenticate", f'{_REALM}, error="invalid_token"'.encode())]
    return [(b"www-authenticate", f'{_REALM}, error="insufficient_scope"'.encode())]


def _from_here(scope: AsgiScope) -> bool:
    """Whether the request seems to come from a process of this machine, not through a proxy.

    A local proxy that adds no header cannot be distinguished (nginx's plain `proxy_pass` sends
    the server's own address as Host), so the policy must exclude it.
    """
    if any(name.lower().startswith(_FORWARDED) for name, _ in scope["headers"]):
        return False
    host = named_host(scope)
    if host is None or not is_loopback(host.name):
        return False
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
