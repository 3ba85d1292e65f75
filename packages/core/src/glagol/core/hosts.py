"""Parse hosts and origins, both in settings and in requests.

Hosts are compared in a normal form: lower case, no dot at the end, names outside ASCII as browsers
send them (`xn--...`), IPv6 addresses without brackets, and an IPv4 address that is mapped into IPv6
(`::ffff:1.2.3.4`) as IPv4. A text with a user name, a zone (`%eth0`), a path or a space is not a
host.
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
        name: A name or an address in the normal form.
        port: TCP port; None when the header names none.
    """

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Host:
        """Parse `name`, `name:port`, `1.2.3.4`, `[::1]:8080` and the like.

        Raises:
            ValueError: The text is not a host.
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
        """The name as an IP address; None when it is not one."""
        try:
            return ipaddress.ip_address(self.name)
        except ValueError:
            return None


def is_loopback(name: str) -> bool:
    """Whether a host name in the normal form always means this machine.

    That is 127.0.0.0/8, ::1, `localhost` and what ends in `.localhost` (RFC 6761, section 6.3).
    """
    address = Host(name).address
    if address is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of hosts in a setting.

    Attributes:
        host: The name, and the port if only that port is allowed.
        below: Whether the pattern is `*.host`: every name below the host, at any depth, and not the
            host itself.
    """

    host: Host
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parse `name`, `name:port`, `*.name` or an address.

        Raises:
            ValueError: The text is not a pattern.
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
        """Whether the pattern matches `host`. A pattern without a port matches any port.

        A host without a port counts as port 80 and as port 443, since a proxy may end TLS in front
        of the server.
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
    """Parse a list of patterns separated by commas; `*` is left out.

    Raises:
        ValueError: An item is not a pattern.
    """
    return tuple(Pattern.parse(item) for item in _items(text) if item != ANY)


def hosts(text: str) -> str:
    """Check a list of hosts separated by commas, and return it in the normal form.

    `*` stands for every host and comes first.

    Raises:
        ValueError: An item is not a pattern of hosts.
    """
    every = [ANY] if ANY in _items(text) else []
    return ",".join([*every, *map(str, patterns(text))])


def origin(text: str) -> tuple[str, Host]:
    """Split an origin, as browsers send it, into scheme and host.

    An http or https origin without a port gets the default port of its scheme.

    Raises:
        ValueError: The text is not an origin; `null` is not one either.
    """
    scheme, mark, rest = text.lower().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise ValueError(text)
    host = Host.parse(rest)
    return scheme, Host(host.name, host.port or DEFAULT_PORTS.get(scheme))


def origins(text: str) -> str:
    """Check a list of origins separated by commas, and return each exactly as browsers send it.

    Raises:
        ValueError: An item is not an origin. Patterns are refused. So is `null`, because any page
            can create a frame with that origin.
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
    """Check the value of a HOST setting, and return it in the usual notation.

    `[::1]` loses its brackets; `127.1` becomes 127.0.0.1, as POSIX inet_aton reads it.

    Raises:
        ValueError: The value has spaces, or has only numbers and is not an address.
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
"""Arguments of `Takes` for a setting of hosts: the range in English and in Russian, the parser."""
ORIGINS_TAKE: Final = (
    "origins separated by commas, such as https://app.example",
    "источники (origin) через запятую, например https://app.example",
    origins,
)
"""Arguments of `Takes` for a setting of origins."""


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _plain(address: ipaddress.IPv6Address) -> str:
    return str(address.ipv4_mapped or address)
