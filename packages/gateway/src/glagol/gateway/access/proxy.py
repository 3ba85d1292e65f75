"""People that a proxy in front names, as after Kerberos: in a header, from its address alone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from glagol.core.takes import Takes
from glagol.web.access.host_check import header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NETWORKS_TAKE", "Proxy", "networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """The addresses and networks of a list between commas.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())


def _checked(text: str) -> str:
    if not networks(text):
        raise ValueError(text)
    return text


NETWORKS_TAKE = Takes(
    "addresses or networks, such as 10.0.0.5,10.1.0.0/24",
    "адреса или сети, например 10.0.0.5,10.1.0.0/24",
    _checked,
)


class Proxy:
    """Reads the person's name from a header that only trusted addresses may send.

    Args:
        trusted: Networks of the proxies.
        name: Of the header, in lower case.
    """

    def __init__(self, trusted: Sequence[Network], name: str) -> None:
        self._trusted = tuple(trusted)
        self._name = name.lower().encode("ascii")

    def person(self, scope: Mapping[str, Any]) -> str:
        """The name that the proxy gives; empty without one, with several, or from elsewhere."""
        try:
            address = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return ""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in network for network in self._trusted):
            return ""
        given = header(dict(scope), self._name)
        return given[0].strip() if len(given) == 1 else ""
