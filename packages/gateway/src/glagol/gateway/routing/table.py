"""Which upstream answers which path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OWN", "ROUTES", "SERVICES", "upstream_of"]

SERVICES: Final = ("asr", "llm", "embed", "rag")
"""Names of the services that may stand behind the gateway."""

OWN: Final = frozenset({"rag"})
"""Services whose paths the gateway answers itself: it knows what a person may read, they do not."""

ROUTES: Final[Sequence[tuple[str, str]]] = (
    ("/v1/summarize", "llm"),
    ("/v1/chat/", "llm"),
    ("/v1/completions", "llm"),
    ("/v1/embeddings", "embed"),
    ("/v1/search", "rag"),
    ("/v1/ask", "rag"),
    ("/v1/", "asr"),
)
"""Beginnings of paths and the service that answers them; the first that fits counts."""


def upstream_of(path: str) -> str | None:
    """The service that answers a path; None for the gateway's own paths."""
    return next((name for start, name in ROUTES if path.startswith(start)), None)
