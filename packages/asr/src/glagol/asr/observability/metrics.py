"""What operators watch: requests, transcriptions, and the engine's state on demand.

Labels come from closed sets: those of every server, and ids of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from glagol.jobs.states import COUNTED
from glagol.web.metrics import SECONDS, RequestMetrics

if TYPE_CHECKING:
    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.jobs.service import Jobs

__all__ = ["Metrics"]

_RTF: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics(RequestMetrics):
    """The registry and what is counted in it.

    Args:
        engine: Asked for its queue and its model at each scrape.
        jobs: Asked likewise, when there are any.
    """

    def __init__(self, engine: InferencePool, jobs: Jobs | None = None) -> None:
        super().__init__("asr")
        own = self.registry
        self._upload = Counter("asr_upload_bytes", "Bytes of audio received", registry=own)
        self._wait = Histogram(
            "asr_queue_wait_seconds", "Waiting for the model", buckets=SECONDS, registry=own
        )
        self._work = Histogram("asr_work_seconds", "Using the model", buckets=SECONDS, registry=own)
        self._audio = Counter("asr_audio_seconds", "Seconds of audio transcribed", registry=own)
        self._rtf = Histogram(
            "asr_rtf",
            "Real-time factor: seconds of work per second of audio",
            buckets=_RTF,
            registry=own,
        )
        own.register(_EngineState(engine))
        if jobs is not None:
            own.register(_JobsState(jobs))

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """A request is over; its note also says what a transcription took."""
        super().ended(route, status, total_s, note)
        self._upload.inc(note.get("size_bytes", 0))
        if "work_s" in note:
            self._wait.observe(note["wait_s"])
            self._work.observe(note["work_s"])
            self._audio.inc(note["audio_s"])
            if note["audio_s"]:
                self._rtf.observe(note["work_s"] / note["audio_s"])


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
            for state in COUNTED:
                depth.add_metric((kind, state), found[state])
        yield depth
        yield GaugeMetricFamily(
            "asr_jobs_oldest_seconds",
            "How long the oldest waiting job waits",
            value=sample.oldest_s,
        )
        yield CounterMetricFamily(
            "asr_jobs_set_aside",
            "Records of the queue that this process could not read and set aside",
            value=self._jobs.queue.set_aside(),
        )
        for name, text, counts in (
            ("asr_job_attempts", "Attempts at jobs by this process", self._jobs.attempts),
            ("asr_webhook_tries", "Tries to deliver by this process", self._jobs.deliveries),
        ):
            tries = CounterMetricFamily(name, text, labels=("outcome",))
            for outcome, count in counts.items():
                tries.add_metric((outcome,), count)
            yield tries
