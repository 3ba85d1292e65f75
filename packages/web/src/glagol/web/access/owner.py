"""The owner of a request, for limits and shares: its key's name, or its client's address."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

__all__ = ["client_of", "network_of", "owner_of"]


def owner_of(scope: Mapping[str, Any]) -> str:
    """The owner of a request: the name of its key, or without keys `@` and the client's address."""
    caller = scope.get("state", {}).get("caller")
    return caller.name if caller is not None and caller.name else f"@{client_of(scope)}"


def client_of(scope: Mapping[str, Any]) -> str:
    """The client as limits count it: an IPv4 address, or the /64 network of an IPv6 one."""
    return network_of(str((scope.get("client") or ("",))[0]))


def network_of(host: str) -> str:
    """`host` as `client_of` returns it; a text that is no IP address is returned unchanged."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
