"""Which headers a proxy may pass on (RFC 9110, section 7.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Pairs", "answered", "asked"]

Pairs = list[tuple[bytes, bytes]]

_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OWN: Final = frozenset(
    {b"host", b"cookie", b"authorization", b"origin", b"forwarded", b"x-glagol-caller"}
)
_FETCH: Final = (b"sec-fetch-", b"x-forwarded-", b"sec-websocket-")
_ANSWERED_OWN: Final = frozenset({b"set-cookie", b"date", b"server"})


def asked(pairs: Iterable[tuple[bytes, bytes]], *, key: str, caller: str) -> Pairs:
    """Headers of a client's request as an upstream gets them.

    Cookies and the client's own credentials stay here; the upstream believes the gateway's key and,
    with it, the caller's name.

    Args:
        pairs: Names in lower case, and values.
        key: The gateway's key of the upstream; empty for none.
        caller: The person of the request; empty without sign-in.
    """
    named = _named(pairs)
    kept = [
        (name, value)
        for name, value in pairs
        if name not in _HOP | _OWN | named and not name.startswith(_FETCH)
    ]
    if key:
        kept.append((b"authorization", b"Bearer " + key.encode()))
    if caller:
        kept.append((b"x-glagol-caller", caller.encode("utf-8")))
    return kept


def answered(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """Headers of an upstream's answer as the client gets them; names in lower case."""
    lower = [(name.lower(), value) for name, value in pairs]
    named = _named(lower)
    return [pair for pair in lower if pair[0] not in _HOP | _ANSWERED_OWN | named]


def _named(pairs: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Headers that a Connection header names: they are of this connection alone."""
    return {
        token.strip().lower()
        for name, value in pairs
        if name == b"connection"
        for token in value.split(b",")
    }
