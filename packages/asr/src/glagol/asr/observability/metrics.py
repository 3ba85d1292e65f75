"""What operators watch: counters and histograms of requests, and the engine's state on demand.

Every server has a registry of its own, handed on explicitly. Labels come from closed sets: routes,
status codes, codes of the error table, ids of the manifest. Never a file's name, never text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.jobs.service import Jobs

__all__ = ["Metrics"]

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
_RTF: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The registry and what is counted in it.

    Args:
        engine: Asked for its queue and its model whenever somebody scrapes.
        jobs: Asked likewise, when there are any.
    """

    def __init__(self, engine: InferencePool, jobs: Jobs | None = None) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Counter(
            "asr_requests", "Answered requests", ["route", "status", "code"], registry=own
        )
        self._seconds = Histogram(
            "asr_request_seconds",
            "From the request's first byte to the answer's last",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self._in_flight = Gauge("asr_requests_in_flight", "Requests being served", registry=own)
        self._upload = Counter("asr_upload_bytes", "Bytes of audio received", registry=own)
        self._wait = Histogram(
            "asr_queue_wait_seconds", "Waiting for the model", buckets=_SECONDS, registry=own
        )
        self._work = Histogram(
            "asr_work_seconds", "Using the model", buckets=_SECONDS, registry=own
        )
        self._audio = Counter("asr_audio_seconds", "Seconds of audio transcribed", registry=own)
        self._rtf = Histogram(
            "asr_rtf",
            "Real-time factor: seconds of work per second of audio",
            buckets=_RTF,
            registry=own,
        )
        self._registry.register(_EngineState(engine))
        if jobs is not None:
            self._registry.register(_JobsState(jobs))
        ProcessCollector(registry=self._registry)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Ask `read` for the gauge `name` whenever somebody scrapes."""
        Gauge(name, text, registry=self._registry).set_function(read)

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
        self._upload.inc(note.get("size_bytes", 0))
        if "work_s" in note:
            self._wait.observe(note["wait_s"])
            self._work.observe(note["work_s"])
            self._audio.inc(note["audio_s"])
            if note["audio_s"]:
                self._rtf.observe(note["work_s"] / note["audio_s"])

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, in Prometheus' text format or in OpenMetrics.

        Args:
            accept: The Accept header.

        Returns:
            The body and its media type.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _EngineState(Collector):
    """The engine as it is at the moment of the scrape."""

    def __init__(self, engine: InferencePool) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine = self._engine
        for name, text, value in (
            ("asr_ready", "1 when the default model is verified, loaded and proven",
             engine.trouble is None),
            ("asr_queue_depth", "Transcriptions that wait", len(engine.queue)),
            ("asr_queue_limit", "Transcriptions that may wait", engine.queue.limit),
            ("asr_queue_long", "Long transcriptions that wait for a turn", engine.queue.long),
            ("asr_workers", "Inference threads", engine.workers),
            ("asr_workers_busy", "Inference threads that have work", engine.queue.taken),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, text, value=float(value))
        calls = CounterMetricFamily(
            "asr_encoder_calls",
            "Calls of the encoder",
            labels=("model",),
        )
        windows = CounterMetricFamily(
            "asr_encoder_windows",
            "Windows in them; over calls, how full",
            labels=("model",),
        )
        for name, counted in engine.encoded().items():
            calls.add_metric((name,), counted[0])
            windows.add_metric((name,), counted[1])
        yield from (calls, windows)
        model = InfoMetricFamily("asr_model", "What serves", labels=())
        origin = engine.report().get("provenance")
        if origin is not None:
            model.add_metric(
                (),
                {
                    "id": origin.model,
                    "version": origin.model_version,
                    "variant": origin.variant,
                    "provider": origin.provider,
                    "manifest_version": str(origin.manifest_version),
                },
            )
        yield model


class _JobsState(Collector):
    """The durable queue as it was a few seconds ago, and what this process did for it."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        sample = self._jobs.sample
        yield GaugeMetricFamily(
            "asr_jobs_reachable", "1 when the queue of jobs answers", value=float(sample.reachable)
        )
        depth = GaugeMetricFamily(
            "asr_jobs", "Jobs in the queue, shared ones too", labels=("kind", "state")
        )
        for kind, found in sample.depths.items():
            depth.add_metric((kind, "queued"), found.queued)
            depth.add_metric((kind, "running"), found.running)
            depth.add_metric((kind, "failed"), found.failed)
        yield depth
        yield GaugeMetricFamily(
            "asr_jobs_oldest_seconds",
            "How long the oldest waiting job waits",
            value=sample.oldest_s,
        )
        for name, text, counts in (
            ("asr_job_attempts", "Attempts at jobs by this process", self._jobs.attempts),
            ("asr_webhook_tries", "Tries to deliver by this process", self._jobs.deliveries),
        ):
            tries = CounterMetricFamily(name, text, labels=("outcome",))
            for outcome, count in counts.items():
                tries.add_metric((outcome,), count)
            yield tries
