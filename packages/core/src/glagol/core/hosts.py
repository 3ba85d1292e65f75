"""Parse hosts and origins, both in settings and in requests.

Names are compared in lower case and without the dot at the end. A name outside ASCII is compared
in the form that browsers send (`xn--...`). An IPv6 address loses its brackets, and one that maps
an IPv4 address is that address. A text with a user name, a zone (`%eth0`),
a path or a space is not a host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ANY",
    "DEFAULT_PORTS",
    "HOSTS_TAKE",
    "ORIGINS_TAKE",
    "Host",
    "Pattern",
    "hosts",
    "is_loopback",
    "listening",
    "origin",
    "origins",
    "patterns",
]

ANY: Final = "*"
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,254})(?::([0-9]{1,5}))?")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65535
_IPV4_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Host:
    """What a `Host` header names.

    Attributes:
        name: A name or an address, in the form of comparison.
        port: TCP port; None where it is not written.
    """

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Host:
        """The host of `name`, `name:port`, `1.2.3.4`, `[::1]:8080` and the like.

        Raises:
            ValueError: It is none.
        """
        found = _HOST.fullmatch(text.lower())
        if found is None:
            raise ValueError(text)
        name, port = found[1], None if found[2] is None else int(found[2])
        if port is not None and not 0 < port <= _PORT_MAX:
            raise ValueError(text)
        if name.startswith("["):
            return cls(_plain(ipaddress.IPv6Address(name[1:-1])), port)
        name = name.removesuffix(".")
        if not all(name.split(".")):
            raise ValueError(text)
        return cls(name, port)

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address that the name is; None where it is a name."""
        try:
            return ipaddress.ip_address(self.name)
        except ValueError:
            return None


def is_loopback(name: str) -> bool:
    """Whether a host in the form of comparison is always this machine.

    That is 127.0.0.0/8, ::1, `localhost` and what ends in `.localhost` (RFC 6761, section 6.3).
    """
    address = Host(name).address
    if address is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One host of a setting.

    Attributes:
        host: The name, and the port if only that one is meant.
        below: Whether every name below it is meant, at any depth, and not itself: `*.host`.
    """

    host: Host
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern of `name`, `name:port`, `*.name` or an address.

        Raises:
            ValueError: It is none.
        """
        below = text.startswith("*.")
        bare = text[2:] if below else text
        if not bare.isascii():
            name, colon, port = bare.partition(":")
            bare = name.encode("idna").decode() + colon + port
        host = Host.parse(bare)
        if below and host.address is not None:
            raise ValueError(text)
        return cls(host, below)

    def admits(self, host: Host) -> bool:
        """Whether `host` is meant. A pattern without a port means any port.

        A host that names no port has 80 or 443, as a proxy with TLS may be in front.
        """
        wanted = self.host.port
        ports = DEFAULT_PORTS.values() if host.port is None else (host.port,)
        if wanted is not None and wanted not in ports:
            return False
        if self.below:
            return host.name.endswith(f".{self.host.name}")
        return host.name == self.host.name

    def __str__(self) -> str:
        name = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        port = "" if self.host.port is None else f":{self.host.port}"
        return f"{'*.' if self.below else ''}{name}{port}"


def patterns(text: str) -> tuple[Pattern, ...]:
    """The patterns of a list with commas, without `*`.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(Pattern.parse(item) for item in _items(text) if item != ANY)


def hosts(text: str) -> str:
    """A list of hosts with commas in the form of comparison; `*` is every host.

    Raises:
        ValueError: One of them is none.
    """
    every = [ANY] if ANY in _items(text) else []
    return ",".join([*every, *map(str, patterns(text))])


def origin(text: str) -> tuple[str, Host]:
    """Scheme and host of an origin, as browsers send it; the port is always known for http(s).

    Raises:
        ValueError: It is none, as `null` is.
    """
    scheme, mark, rest = text.lower().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise ValueError(text)
    host = Host.parse(rest)
    return scheme, Host(host.name, host.port or DEFAULT_PORTS.get(scheme))


def origins(text: str) -> str:
    """A list of origins with commas, each exactly as browsers send it.

    Raises:
        ValueError: One of them is none. `null` is refused, as any page can make a frame whose
            origin that is, and so are patterns.
    """
    found = []
    for item in _items(text):
        scheme, mark, rest = item.removesuffix("/").partition("://")
        if "*" in item or not mark:
            raise ValueError(text)
        pattern = Pattern.parse(rest)
        scheme, host = origin(f"{scheme}://{pattern}")
        port = None if host.port == DEFAULT_PORTS.get(scheme) else host.port
        found.append(f"{scheme}://{Pattern(Host(host.name, port))}")
    return ",".join(found)


def listening(text: str) -> str:
    """The address or name of a setting HOST, as addresses are usually written.

    `[::1]` loses its brackets; `127.1` is 127.0.0.1, as inet_aton of POSIX reads it.

    Raises:
        ValueError: It has spaces, or is made of numbers and no address.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare or any(char.isspace() or not char.isprintable() for char in bare):
        raise ValueError(text)
    parts = bare.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return bare
    *high, low = parts
    if len(high) < _IPV4_BYTES:  # the last number fills the bytes that are left
        filled = int(low).to_bytes(_IPV4_BYTES - len(high), "big") if int(low) < 1 << 32 else b""
        parts = [*high, *map(str, filled)]
    return str(ipaddress.IPv4Address(".".join(parts)))


HOSTS_TAKE: Final = (
    "host names separated by commas, such as asr.example or *.example:8080, or *",
    "имена узлов через запятую, например asr.example или *.example:8080, либо *",
    hosts,
)
"""What a setting of hosts takes: in English, in Russian, and how it is read."""
ORIGINS_TAKE: Final = (
    "origins separated by commas, such as https://app.example",
    "источники (origin) через запятую, например https://app.example",
    origins,
)
"""What a setting of origins takes, likewise."""


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _plain(address: ipaddress.IPv6Address) -> str:
    return str(address.ipv4_mapped or address)
