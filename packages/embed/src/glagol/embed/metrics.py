"""Metrics for Prometheus: requests, texts, tokens, and the state of the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glagol.web.metrics import RequestMetrics

if TYPE_CHECKING:
    from glagol.embed.pool import Pool

__all__ = ["Metrics"]


class Metrics(RequestMetrics):
    """The registry of the server's metrics.

    Args:
        pool: The pool whose state is read at each scrape.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__("embed")
        self.registry.register(_State(pool))


class _State(Collector):
    """Reads the metrics of the pool at each scrape."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        pool = self._pool
        ready = float(pool.trouble is None)
        for name, text, value in (
            ("embed_ready", "1 when the model is verified, loaded and proven", ready),
            ("embed_texts_waiting", "Texts that no thread has begun", float(pool.waiting)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, value in (
            ("embed_texts", "Texts computed", float(pool.texts)),
            ("embed_tokens", "Tokens computed, both ends included", float(pool.tokens)),
        ):
            yield CounterMetricFamily(name, text, value=value)
