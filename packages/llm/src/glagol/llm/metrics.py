"""Prometheus metrics of llm-server, and the filter of vLLM's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glagol.web.metrics import RequestMetrics

if TYPE_CHECKING:
    from glagol.llm.slots import Slots
    from glagol.llm.vllm.supervisor import Supervisor

__all__ = ["Metrics", "of_vllm"]


class Metrics(RequestMetrics):
    """The registry of llm-server's metrics.

    Args:
        supervisor: Its state is read at each scrape.
        slots: The number of taken slots is read at each scrape.
    """

    def __init__(self, supervisor: Supervisor, slots: Slots) -> None:
        super().__init__("llm")
        self.registry.register(_State(supervisor, slots))


def of_vllm(exposition: bytes) -> bytes:
    """The lines of vLLM's text format that are about the model: `vllm:*` and their comments.

    Its process_*, python_* and http_* families are dropped, since ours have the same names.
    """
    kept = []
    for line in exposition.splitlines():
        words = line.split(maxsplit=3)
        name = words[2] if line.startswith((b"# HELP ", b"# TYPE ")) and words[2:] else line
        if name.startswith(b"vllm:"):
            kept.append(line + b"\n")
    return b"".join(kept)


class _State(Collector):
    """Reads supervisor and slots at each scrape."""

    def __init__(self, supervisor: Supervisor, slots: Slots) -> None:
        self._supervisor = supervisor
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            ("llm_ready", "1 when the model is verified, loaded and proven",
             float(self._supervisor.trouble is None)),
            ("llm_places_taken", "Requests that the model works on", float(self._slots.taken)),
            ("llm_places", "Requests that it may work on", float(self._slots.limit)),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "llm_vllm_starts", "Starts of the vLLM process", value=float(self._supervisor.starts)
        )
