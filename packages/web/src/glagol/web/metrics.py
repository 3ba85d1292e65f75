"""Request metrics of every server, and the registry to which a server adds its own.

Every server has a registry of its own, passed on explicitly. Labels come from closed sets: routes,
status codes, codes of the error table. Never a file's name, never text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

__all__ = ["MEDIA_TYPE", "SECONDS", "RequestMetrics"]

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)


class RequestMetrics:
    """Counts requests; a server adds its own metrics to `registry`.

    Args:
        prefix: What the names of the server's metrics begin with, such as `asr`.

    Attributes:
        prefix: As given.
        registry: The server's; process metrics are in it already.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.registry = own = CollectorRegistry()
        self._requests = Counter(
            f"{prefix}_requests", "Answered requests", ["route", "status", "code"], registry=own
        )
        self._seconds = Histogram(
            f"{prefix}_request_seconds",
            "From the request's first byte to the answer's last",
            ["route"],
            buckets=SECONDS,
            registry=own,
        )
        self._in_flight = Gauge(
            f"{prefix}_requests_in_flight", "Requests being served", registry=own
        )
        ProcessCollector(registry=own)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Ask `read` for the gauge `name` at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def began(self) -> None:
        """A request is being served."""
        self._in_flight.inc()

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """A request is over.

        Args:
            route: Its path as the routes know it, or "other".
            status: Of the answer; 0 when there was none.
            total_s: Seconds it took.
            note: What its log line says.
        """
        self._in_flight.dec()
        self._requests.labels(route, str(status), note.get("code", "ok")).inc()
        self._seconds.labels(route).observe(total_s)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, in Prometheus' text format or in OpenMetrics.

        Args:
            accept: The Accept header.

        Returns:
            The body and its media type.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def text(self) -> bytes:
        """Everything in Prometheus' text format, of the media type `MEDIA_TYPE`."""
        return generate_latest(self.registry)
