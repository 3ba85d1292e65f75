"""The layer that keeps web pages of other sites from using the server through a browser.

It stands before keys and before the body. A server that trusts its own machine would otherwise
trust every page that is open in a browser there, as the page's requests come from that machine.

**Hosts.** A page may give its own name the server's address (DNS rebinding), and then reads the
answers as its own. The browser still sends the page's name as `Host`, so only these are served:

- 127.0.0.0/8, ::1, `localhost` and `*.localhost`, with any port (a container's is another one);
- the name or address of the setting HOST, with any port;
- what the setting HOSTS lists;
- any IP address, where the server listens beyond its own machine. Rebinding needs a name: a
  browser that sends an address has really connected to it, so no page of another site is behind
  it. A server on a loopback address is asked by a foreign address only through a proxy, whose
  operator can list it.

One `Host` header is needed, or `:authority` of HTTP/2; none, or two, are refused, and so is
whatever is no name or address with a port: user names, zones, decimal addresses. The authority of
an absolute request target is not looked at: only a program that means a proxy sends one. `/health`
and `/ready` answer to any host, as an orchestrator's probe may know none.

**Origins.** A page can send requests without reading the answers, and open WebSockets. Methods
that change something, and every WebSocket, are refused when the browser says `Sec-Fetch-Site:
cross-site` or `same-site`, or when the `Origin` is neither this host nor one of the setting
ORIGINS. `Sec-Fetch-Site: same-origin` is believed, as no page can write it and a proxy may hide
the host. Scheme http or https makes no difference, as TLS may end at a proxy. Programs send
neither header and are not affected.

Pages of the setting ORIGINS get CORS: their preflights are answered here, and every answer names
the origin. Cookies are not allowed, and none is used.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glagol.core import hosts
from glagol.core.errors import InputError
from glagol.core.hosts import Host, Pattern
from glagol.web.access.refusal import plain, refuse

if TYPE_CHECKING:
    from glagol.core.settings import NetworkSettings
    from glagol.web import errors
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["HostCheck", "Rules", "header", "named_host"]

_ANY_HOST: Final = frozenset({"/health", "/ready"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN: Final = 100
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_PREFLIGHT_S: Final = b"600"
_EXPOSED: Final = (
    b"Content-Disposition, Glagol-Ignored, Location, Retry-After, Tus-Extension, Tus-Max-Size,"
    b" Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset, X-Request-Id"
)
_VARY: Final = (b"vary", b"Origin")


@dataclass(frozen=True, slots=True)
class Rules:
    """Which hosts and origins a server admits.

    Attributes:
        prefix: Of the server's settings, such as `ASR_`.
        names: Hosts beside the loopback ones.
        addresses: Whether every IP address is admitted.
        every: Whether every host is, unseen.
        origins: Of pages elsewhere, as browsers send them.
    """

    prefix: str
    names: tuple[Pattern, ...] = ()
    addresses: bool = False
    every: bool = False
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: NetworkSettings) -> Rules:
        """The rules of a server that listens to `settings.host`."""
        return cls(
            settings.PREFIX,
            (*_own(settings.host), *hosts.patterns(settings.hosts)),
            addresses=not hosts.is_loopback(settings.host.lower()),
            every=hosts.ANY in settings.hosts.split(","),
            origins=frozenset(filter(None, settings.origins.split(","))),
        )

    def admits(self, host: Host) -> bool:
        """Whether the server answers to `host`."""
        if hosts.is_loopback(host.name) or any(name.admits(host) for name in self.names):
            return True
        return self.addresses and host.address is not None


class HostCheck:
    """Hosts and origins around an ASGI application; HTTP and WebSocket alike.

    Args:
        app: The application.
        rules: What is admitted.
        speaker: The shape of errors by path.
    """

    def __init__(self, app: Asgi, rules: Rules, speaker: errors.Speaker) -> None:
        self._app = app
        self._rules = rules
        self._speaker = speaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        error = self._wrong_host(scope) or self._wrong_origin(scope)
        if error is not None:
            await refuse(scope, send, error, self._speaker)
        elif self._rules.origins and scope["type"] == "http":
            await self._shared(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _wrong_host(self, scope: Scope) -> InputError | None:
        if self._rules.every or plain(scope["path"]) in _ANY_HOST:
            return None
        host = named_host(scope)
        if host is not None and self._rules.admits(host):
            return None
        given = header(scope, b"host")
        what = f"the host {_shown(given[0])}" if len(given) == 1 else f"{len(given)} Host headers"
        return InputError(
            "host_not_allowed",
            f"this server does not answer to {what}",
            f"ask it by its address, or list the name in {self._rules.prefix}HOSTS",
        )

    def _wrong_origin(self, scope: Scope) -> InputError | None:
        if scope["type"] == "http" and scope["method"] in _SAFE:
            return None
        origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
        if self._listed(scope) or site == ["same-origin"]:
            return None
        if site in ([], ["none"]) and (not origin or _same(origin, named_host(scope))):
            return None
        what = f"pages of {_shown(origin[0])}" if origin else "pages of another site"
        return InputError(
            "origin_not_allowed",
            f"{what} may not use this server",
            f"open a page of this server, or list the origin in {self._rules.prefix}ORIGINS",
        )

    def _listed(self, scope: Scope) -> str | None:
        """The request's origin where the operator has listed it."""
        origin = [text.lower() for text in header(scope, b"origin")]
        return origin[0] if len(origin) == 1 and origin[0] in self._rules.origins else None

    async def _shared(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request so that a listed page may read the answer, and no other page may."""
        origin = self._listed(scope)
        more = [_VARY]
        if origin is not None:
            more.append((b"access-control-allow-origin", origin.encode()))
            more.append((b"access-control-expose-headers", _EXPOSED))
            if scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method"):
                await _preflight(scope, send, more)
                return

        async def shared_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, shared_send)


def header(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header; `name` in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def named_host(scope: Scope) -> Host | None:
    """The host that a request names; None where it names none, two, or nonsense."""
    given = header(scope, b"host")
    try:
        return Host.parse(given[0]) if len(given) == 1 else None
    except ValueError:
        return None


def _own(bound: str) -> tuple[Pattern, ...]:
    """The host that the server listens to, where it is one."""
    try:
        address = ipaddress.ip_address(bound)
    except ValueError:
        try:
            return (Pattern(Host(Host.parse(bound).name)),)
        except ValueError:  # an address with a zone
            return ()
    return () if address.is_unspecified else (Pattern(Host(str(address))),)


def _same(origin: list[str], host: Host | None) -> bool:
    """Whether the page's origin is the host itself; a port that is not written is the scheme's."""
    try:
        scheme, page = hosts.origin(origin[0])
    except ValueError:
        return False
    if len(origin) != 1 or host is None or page.name != host.name:
        return False
    return page.port == (host.port or hosts.DEFAULT_PORTS.get(scheme))


async def _preflight(scope: Scope, send: Send, more: list[tuple[bytes, bytes]]) -> None:
    """Say to a browser that a listed page may send what it is going to send."""
    wanted = ",".join(header(scope, b"access-control-request-headers"))
    names = [name.strip() for name in wanted.split(",")]
    granted = ", ".join(name for name in names if _NAME.fullmatch(name))
    headers = [
        *more,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", granted.encode()),
        (b"access-control-max-age", _PREFLIGHT_S),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _shown(text: str) -> str:
    return repr(text[:_SHOWN])
