"""What operators watch: our own counters, and vLLM's beside them.

Labels come from closed sets: routes, status codes, codes of the error table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from glagol.llm.slots import Places
    from glagol.llm.vllm.supervisor import Keeper

__all__ = ["MEDIA_TYPE", "Metrics", "of_vllm"]

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)


class Metrics:
    """The registry and what is counted in it.

    Args:
        keeper: Asked for its state whenever somebody scrapes.
        places: Asked how many are taken.
    """

    def __init__(self, keeper: Keeper, places: Places) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Counter(
            "llm_requests", "Answered requests", ["route", "status", "code"], registry=own
        )
        self._seconds = Histogram(
            "llm_request_seconds",
            "From the request's first byte to the answer's last",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self._in_flight = Gauge("llm_requests_in_flight", "Requests being served", registry=own)
        own.register(_State(keeper, places))
        ProcessCollector(registry=own)

    def began(self) -> None:
        """A request is being served."""
        self._in_flight.inc()

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """A request is over: its route, status (0 for none), seconds, what its log line says."""
        self._in_flight.dec()
        self._requests.labels(route, str(status), note.get("code", "ok")).inc()
        self._seconds.labels(route).observe(total_s)

    def exposition(self, vllm: bytes) -> bytes:
        """Everything in Prometheus' text format; `vllm` is what `of_vllm` kept of vLLM's."""
        return generate_latest(self._registry) + vllm


def of_vllm(exposition: bytes) -> bytes:
    """The lines of vLLM's text format that are about the model: `vllm:*` and their comments.

    Its process_*, python_* and http_* families are left out; ours have those names.
    """
    kept = []
    for line in exposition.splitlines():
        words = line.split(maxsplit=3)
        name = words[2] if line.startswith((b"# HELP ", b"# TYPE ")) and words[2:] else line
        if name.startswith(b"vllm:"):
            kept.append(line + b"\n")
    return b"".join(kept)


class _State(Collector):
    """The keeper and the places as they are at the moment of the scrape."""

    def __init__(self, keeper: Keeper, places: Places) -> None:
        self._keeper = keeper
        self._places = places

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            ("llm_ready", "1 when the model is verified, loaded and proven",
             float(self._keeper.trouble is None)),
            ("llm_places_taken", "Requests that the model works on", float(self._places.taken)),
            ("llm_places", "Requests that it may work on", float(self._places.limit)),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "llm_vllm_starts", "Starts of the vLLM process", value=float(self._keeper.starts)
        )
