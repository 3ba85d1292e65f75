"""Addresses of this server: where a link may lead, and how the browser reached it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from glagol.gateway.http.request import GatewayRequest

__all__ = ["inside", "origin_of"]


def inside(way: str) -> str:
    """A path of this server; `/` for anything else that a link may say."""
    parts = urlsplit(way)
    own = way.startswith("/") and not way.startswith(("//", "/\\")) and way.isprintable()
    return way if own and way.isascii() and not parts.netloc and not parts.scheme else "/"


def origin_of(request: GatewayRequest) -> str:
    """Scheme and host that the browser has asked; the host was checked before."""
    scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"])
    return f"{'https' if scheme == 'https' else 'http'}://{request.headers.get('host', '')}"
