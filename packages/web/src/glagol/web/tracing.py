"""OpenTelemetry traces: off unless the standard OTEL_* variables ask for them.

The attributes of a span are made from the same note that the log line and the metrics are made
from, so the three agree; none of them ever holds audio, text or a file's name. Its child spans
are the phases of its timeline, with measured starts and ends; nothing is computed from durations.
`opentelemetry` is imported when traces are on, and not before.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from glagol.core import journal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

__all__ = ["Phase", "Timeline", "Trace", "Traces", "open_traces", "wanted"]

CLOSE_S: Final = 5.0
PHASES_MAX: Final = 256
"""Of one timeline; a recording of a day has thousands of turns."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SERVER_ERRORS: Final = 500
_NANOSECONDS: Final = 1_000_000_000
_ATTRIBUTES: Final = {
    "request_id": "glagol.request_id",
    "model": "glagol.model",
    "job_id": "glagol.job_id",
    "audio_s": "glagol.audio_s",
    "size_bytes": "glagol.size_bytes",
    "code": "error.type",
}


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the operator asks for traces, by the specification's own variables."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").replace(" ", "").lower()
    if exporters:
        return "otlp" in exporters.split(",")
    return any(environment.get(name) for name in _ENDPOINTS)


def open_traces(service: str, environment: Mapping[str, str] = os.environ) -> Traces | None:
    """The exporter of this process, or None while traces are off.

    Args:
        service: Its name, unless OTEL_SERVICE_NAME gives another.
        environment: `OTEL_*`; what they mean beyond on and off is the SDK's business.
    """
    if not wanted(environment):
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "")
    if protocol not in {"", "http/protobuf"}:
        journal.write(
            "traces are off: only OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is spoken here",
            level=logging.WARNING,
            protocol=protocol[:32],
        )
        return None
    return Traces(service, environment)


class Phase(NamedTuple):
    """One phase of a request or job.

    Attributes:
        name: Of the span.
        start_ns: Unix nanoseconds.
        end_ns: Unix nanoseconds.
    """

    name: str
    start_ns: int
    end_ns: int


class Timeline:
    """The phases of one request or job, written down as they end; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: list[Phase] = []
        self._dropped = 0

    def add(self, name: str, start_ns: int, end_ns: int, *, joined: bool = False) -> None:
        """Write a phase down; beyond `PHASES_MAX` they are only counted.

        Args:
            name: Of the span.
            start_ns: Unix nanoseconds.
            end_ns: Unix nanoseconds.
            joined: It continues the phase before, if that has the same name: nothing came between.
        """
        with self._lock:
            last = self._phases[-1] if self._phases else None
            if joined and last and last.name == name:
                self._phases[-1] = last._replace(end_ns=end_ns)
            elif len(self._phases) < PHASES_MAX:
                self._phases.append(Phase(name, start_ns, end_ns))
            else:
                self._dropped += 1

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase that lasts as long as the block, however it ends."""
        start_ns = time.time_ns()
        try:
            yield
        finally:
            self.add(name, start_ns, time.time_ns())

    def phases(self) -> tuple[Phase, ...]:
        """The phases so far, in the order in which they ended."""
        with self._lock:
            return tuple(self._phases)

    @property
    def dropped(self) -> int:
        """Phases that were counted only."""
        return self._dropped


class Traces:
    """Makes spans and sends them in the background.

    Args:
        service: See `open_traces`.
        environment: `OTEL_*`.
    """

    def __init__(self, service: str, environment: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = environment.get("OTEL_SERVICE_NAME") or service
        self._provider = TracerProvider(resource=Resource.create({"service.name": named}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("glagol")
        self._form = TraceContextTextMapPropagator()

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace:
        """The trace of a request that begins now, the caller's own when it sent one.

        Args:
            headers: Of the request, names in lower case.
        """
        from opentelemetry.trace import SpanKind

        sent = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span("request", self._form.extract(sent), kind=SpanKind.SERVER)
        return Trace(self, span, self._name_of(span))

    def tell(
        self,
        name: str,
        parent: str,
        began_s: float,
        ended_s: float,
        note: Mapping[str, Any],
        *,
        timeline: Timeline | None = None,
        outgoing: bool = False,
    ) -> None:
        """Send a span of finished work, with its phases.

        Args:
            name: Of the span.
            parent: `traceparent` of what caused it; empty begins a trace.
            began_s: Unix seconds.
            ended_s: Unix seconds.
            note: What the log line says; `code` marks a failure.
            timeline: Its phases.
            outgoing: It is a request that we made, rather than work that we did.
        """
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            name,
            self._form.extract({"traceparent": parent}),
            kind=SpanKind.CLIENT if outgoing else SpanKind.CONSUMER,
            start_time=int(began_s * _NANOSECONDS),
        )
        end_ns = int(ended_s * _NANOSECONDS)
        self._finish(span, note, timeline or Timeline(), end_ns, failed="code" in note)

    def close(self) -> None:
        """Send what is left; a collector that does not answer is not waited for long."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(CLOSE_S)

    def _finish(
        self, span: Span, note: Mapping[str, Any], timeline: Timeline, end_ns: int, *, failed: bool
    ) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        for name, attribute in _ATTRIBUTES.items():
            if name in note:
                span.set_attribute(attribute, note[name])
        if failed:
            span.set_status(StatusCode.ERROR)
        if timeline.dropped:
            span.set_attribute("glagol.phases_dropped", timeline.dropped)
        context = set_span_in_context(span)
        for phase in timeline.phases():
            self._phase(phase, context)
        span.end(end_ns)

    def _phase(self, phase: Phase, context: Context) -> None:
        span = self._tracer.start_span(phase.name, context, start_time=phase.start_ns)
        span.end(phase.end_ns)

    def _name_of(self, span: Span) -> str:
        """The span as a `traceparent` header, for the requests and jobs that it causes."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._form.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent", "")


class Trace:
    """A request under way.

    Args:
        traces: Where it goes.
        span: The request's.
        traceparent: The span as others may name it.
    """

    def __init__(self, traces: Traces, span: Span, traceparent: str) -> None:
        self._traces = traces
        self._span = span
        self.traceparent = traceparent

    def end(
        self,
        method: str,
        route: str,
        status: int,
        note: Mapping[str, Any],
        timeline: Timeline | None = None,
    ) -> None:
        """The request is over.

        Args:
            method: Of HTTP.
            route: Its path as the routes know it.
            status: Of the answer; 0 when there was none.
            note: What the log line says.
            timeline: The request's phases.
        """
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        failed = status == 0 or status >= _SERVER_ERRORS
        self._traces._finish(  # noqa: SLF001 - one thing in two classes
            self._span, note, timeline or Timeline(), time.time_ns(), failed=failed
        )
