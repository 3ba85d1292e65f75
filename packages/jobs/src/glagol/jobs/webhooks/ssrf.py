"""Guard against server-side request forgery: decides which addresses webhooks may reach.

The URL is parsed strictly, the name is resolved once, every address of the answer is checked, and
the connection goes to a checked address, so nothing can change in between. Addresses that are not
public are refused unless the operator's networks contain them. Link-local and metadata addresses
are refused always.

Source of the networks: the IANA special-purpose address registries (RFC 6890 and its successors).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from glagol.core.errors import InputError
from glagol.core.executors import call

__all__ = ["GuardedBackend", "Rules", "Target", "check_url", "permitted", "system_resolver"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

URL_CHARACTERS_MAX: Final = 2048
_SCHEMES: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_NUMBER: Final = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)\.?")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# The operator's list opens none of these: link-local, and where clouds keep their machines'
# credentials (AWS and GCP by IPv6, Alibaba, Oracle, Azure's host), this-network, multicast.
_NEVER: Final = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",
    "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "fec0::/10", "ff00::/8",
    "fd00:ec2::254/128", "fd20:ce::254/128",
)  # fmt: skip
# Not public, and Python's is_global of some versions does not know or does not say so.
_SPECIAL: Final = _networks(
    "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
    "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
)  # fmt: skip
# The last 32 bits are an IPv4 address: NAT64, IPv4-compatible, IPv4-translated (RFC 7915).
_TRANSLATED: Final = _networks("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows.

    Attributes:
        allow: Networks that may be called though they are not public.
        ports: TCP ports that may be called.
    """

    allow: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443, 8000, 8080, 8443})

    @classmethod
    def of(cls, allow: Iterable[str], ports: Iterable[int]) -> Rules:
        """From text such as `10.0.0.0/8`.

        Raises:
            ValueError: One is no network.
        """
        return cls(tuple(ipaddress.ip_network(text) for text in allow), frozenset(ports))


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart.

    Attributes:
        scheme: `http` or `https`.
        host: Name or address, without brackets.
        port: TCP port.
        path: Path and query, at least `/`.
    """

    scheme: str
    host: str
    port: int
    path: str


def check_url(url: str, rules: Rules) -> Target:
    """Parse a receiver's URL and refuse one that may not be called, without a name lookup.

    Args:
        url: As the caller gave it.
        rules: The operator's.

    Raises:
        InputError: `webhook_refused`.
    """
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise _refused(
            f"it is longer than {URL_CHARACTERS_MAX} characters, or has other than printable"
            " ASCII ones (names of other scripts are written as xn--...)"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise _refused("it cannot be read") from None
    if parts.scheme not in _SCHEMES:
        raise _refused("it is neither http:// nor https://")
    if "@" in parts.netloc:
        raise _refused("it holds a user name or password")
    _check_host(host, rules)
    port = _SCHEMES[parts.scheme] if port is None else port
    if port not in rules.ports:
        raise _refused(f"port {port} is none of {sorted(rules.ports)}")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port, (parts.path or "/") + query)


def permitted(address: Address, rules: Rules) -> bool:
    """Whether `address` may be dialled.

    An IPv6 address that stands for an IPv4 one (mapped, translated, NAT64, 6to4, Teredo, ISATAP)
    is as good as that one, and must be allowed itself.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return permitted(address.ipv4_mapped, rules)  # the system dials it as IPv4
    if _inside(address, _NEVER):
        return False
    if any(not permitted(inner, rules) for inner in _embedded(address)):
        return False
    return _inside(address, rules.allow) or (address.is_global and not _inside(address, _SPECIAL))


def system_resolver(threads: Executor) -> Resolver:
    """Make a resolver that uses the system's name lookup, in one of `threads`.

    The resolver raises OSError when no address is known or no name server answers.
    """

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = await call(threads, socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in found]

    return resolve


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connect to checked addresses only; TLS above it still verifies the given name.

    Args:
        rules: The operator's.
        resolve: From name and port to addresses.
    """

    def __init__(self, rules: Rules, resolve: Resolver) -> None:
        self._rules = rules
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve `host` once, check every address, connect to the permitted ones in turn.

        Raises:
            InputError: `webhook_refused`.
            httpcore.ConnectError: No address is known, or none answers.
        """
        try:
            texts = await self._resolve(host, port)
            addresses = [ipaddress.ip_address(text) for text in dict.fromkeys(texts)]
        except (OSError, UnicodeError, ValueError) as error:
            raise httpcore.ConnectError("the name cannot be looked up") from error
        for address in addresses:
            if not permitted(address, self._rules):
                raise _not_public()
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never.

        Raises:
            InputError: `webhook_refused`.
        """
        raise _refused("it is a local socket")

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks, between its own retries; there are none."""
        await self._inner.sleep(seconds)


def _check_host(host: str, rules: Rules) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # 2130706433, 0x7f.1, 0177.0.0.1: the system's resolver takes these for IPv4 addresses
        if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise _refused("its host is neither a name nor a plain address") from None
        return
    if "%" in host:
        raise _refused("its host names an interface")
    if not permitted(address, rules):
        raise _not_public()


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """IPv4 addresses that packets to an IPv6 one may end up at."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if _inside(address, _TRANSLATED) and not address.is_loopback:
        yield last
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield last


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _not_public() -> InputError:
    """The error for a refused address; it reveals no address of this network."""
    return _refused("its host is not public, and the operator has not allowed it")


def _refused(why: str) -> InputError:
    return InputError(
        "webhook_refused",
        f"the webhook's address may not be called: {why}",
        "give a public http(s) address, or ask the operator for [webhooks] allow in policy.toml",
    )
