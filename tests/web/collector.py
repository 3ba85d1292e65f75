"""A collector of traces: a small HTTP server that reads OTLP's protobuf."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 30.0


@dataclass
class Collector:
    """What came: spans in the order of their arrival, service names, and the raw bytes."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    raw: bytes = b""

    def wait(self, enough: Callable[[set[str]], bool]) -> dict[str, Span]:
        """By name, once `enough` of the names says so."""
        until = time.monotonic() + PATIENCE_S
        while not enough({span.name for span in self.spans}):
            assert time.monotonic() < until, sorted(span.name for span in self.spans)
            time.sleep(0.02)
        return {span.name: span for span in self.spans}


def attributes(span: Span) -> dict[str, Any]:
    """As plain values."""
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """A running collector."""
    state = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            state.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for attribute in resource.resource.attributes:
                    if attribute.key == "service.name":
                        state.services.add(attribute.value.string_value)
                for scope in resource.scope_spans:
                    state.spans += scope.spans
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
