"""Traces as a real collector gets them, from a real server; and nothing of them while off."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import sounds
from asr.process import environment, start
from glagol.web.tracing import PHASES_MAX, Timeline, open_traces, wanted
from homes import make_home
from jobs.webhooks.receiver import receiver
from web.collector import attributes, collector

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID, SPAN_ID = (bytes.fromhex(part) for part in CALLER.split("-")[1:3])


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], on: bool) -> None:
    """As the specification of OpenTelemetry's environment says."""
    assert wanted(variables) == on


def test_another_protocol_is_refused_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """gRPC is not spoken; silence would look like a broken collector."""
    wishes = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert open_traces("x", wishes) is None
    assert "http/protobuf" in caplog.text


def test_nothing_is_imported_while_they_are_off(tmp_path: Path) -> None:
    """A server that traces nothing does not pay for it, not even at start."""
    program = (
        "import sys, glagol.asr.app, glagol.asr.server, glagol.asr.worker\n"
        "from glagol.web.tracing import open_traces\n"
        "assert open_traces('x', {}) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(tmp_path), check=True)


def test_a_request_a_job_and_its_delivery_are_one_trace(tmp_path: Path) -> None:
    """From the caller's span to the receiver's header; without text, audio or a file's name."""
    state = tmp_path / "state"
    state.mkdir()
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    with collector() as traces, receiver() as hook:
        (state / "policy.toml").write_text(
            f'[webhooks]\nsecrets = ["{secret}"]\nallow = ["127.0.0.0/8"]\nports = [{hook.port}]\n'
            'base_url = "https://asr.example/"\n'
        )
        server = start(
            make_home(tmp_path / "home"),
            tmp_path / "scratch",
            ASR_STATE=str(state),
            OTEL_EXPORTER_OTLP_ENDPOINT=traces.url,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        with server.client() as client:
            headers = {"traceparent": CALLER, "x-request-id": "mine"}
            headers["connection"] = "close"  # the next one comes later than an idle line is kept
            response = client.post(
                "/v1/transcribe", files={"file": ("секрет.wav", sounds.clip())}, headers=headers
            )
            assert response.status_code == 200
            spans = traces.wait(lambda names: "POST /v1/transcribe" in names)
            queued = client.put(
                f"/v1/transcribe?async=true&webhook_url={hook.url}",
                content=sounds.clip(),
                headers=headers,
            )
            assert queued.status_code == 202, queued.text
            (webhook,) = hook.wait(1)
            later = traces.wait(lambda names: {"job", "wait", "deliver"} <= names)
        assert server.stop() == 0

    request = spans["POST /v1/transcribe"]
    assert (request.trace_id, request.parent_span_id) == (TRACE_ID, SPAN_ID)
    noted = attributes(request)
    assert noted["http.response.status_code"] == 200
    assert noted["glagol.request_id"] == "mine"
    for name in ("receive", "queue", "work"):
        phase = spans[name]
        assert phase.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= phase.start_time_unix_nano
        assert phase.start_time_unix_nano <= phase.end_time_unix_nano
        assert phase.end_time_unix_nano <= request.end_time_unix_nano

    assert spans["receive"].end_time_unix_nano <= spans["queue"].start_time_unix_nano
    assert spans["queue"].end_time_unix_nano == spans["work"].start_time_unix_nano
    below = [span for span in traces.spans if span.parent_span_id == later["job"].span_id]
    assert {span.name for span in below} == {"queue", "work"}
    assert all(_within(span, later["job"]) for span in below)

    put = later["PUT /v1/transcribe"]
    assert {later[name].trace_id for name in ("job", "wait", "deliver")} == {TRACE_ID}
    assert {later[name].parent_span_id for name in ("job", "wait", "deliver")} == {put.span_id}
    assert webhook.headers["traceparent"].split("-")[1:3] == [TRACE_ID.hex(), put.span_id.hex()]
    assert traces.services == {"asr-server"}
    assert b"https://asr.example/v1/jobs/" in webhook.body

    text = response.json()["data"]["text"]
    for private in (text, text.split()[0], "секрет", secret, hook.url):
        assert private.encode() not in traces.raw


def _within(span: Span, parent: Span) -> bool:
    """Whether `span` begins and ends inside `parent`."""
    return (
        parent.start_time_unix_nano <= span.start_time_unix_nano
        and span.end_time_unix_nano <= parent.end_time_unix_nano
    )


def test_spans_have_the_times_of_their_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the timeline holds is what the collector gets, to the nanosecond, gaps included."""
    timeline = Timeline()
    phases = [("queue", 100, 250), ("work", 250, 300), ("work", 900_000_000, 950_000_000)]
    for phase in phases:
        timeline.add(*phase)
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        traces = open_traces("x")
        assert traces is not None
        note = {"wait_s": 1.0, "work_s": 5.0, "receive_s": 2.0}  # nothing is made of these
        traces.tell("job", CALLER, 0.0, 1.0, note, timeline=timeline)
        traces.close()
        received.wait(lambda names: "job" in names)
        found = [(s.name, s.start_time_unix_nano, s.end_time_unix_nano) for s in received.spans]
    assert found[:-1] == phases
    assert found[-1] == ("job", 0, 1_000_000_000)


def test_a_timeline_is_bounded_and_joins_what_nothing_interrupted() -> None:
    """Turns without a gap are one phase; beyond the limit phases are counted, not kept."""
    timeline = Timeline()
    for at in range(10):
        timeline.add("work", at, at + 1, joined=True)
    assert timeline.phases() == (("work", 0, 10),)
    for at in range(20, 20 + PHASES_MAX):
        timeline.add("work", at, at + 1)
    assert (len(timeline.phases()), timeline.dropped) == (PHASES_MAX, 1)
    with pytest.raises(ValueError, match="broken"), timeline.phase("receive"):
        raise ValueError("broken")
    assert timeline.dropped == 2


def test_a_missing_collector_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are made and lost; closing gives up on it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setattr("glagol.web.tracing.CLOSE_S", 0.2)
    traces = open_traces("x")
    assert traces is not None
    for _ in range(10):
        trace = traces.begin({b"traceparent": CALLER.encode()})
        assert trace.traceparent.split("-")[1] == TRACE_ID.hex()
        trace.end("GET", "/x", 200, {"work_s": 0.1, "wait_s": 0.0})
    traces.close()


@pytest.mark.parametrize("sent", [b"", b"x", b"00-%s-%s-01" % (b"0" * 32, b"0" * 16), b"\xff"])
def test_a_wrong_traceparent_begins_a_trace(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """It is a mistake of the caller's proxy, and no reason to fail."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("glagol.web.tracing.CLOSE_S", 0.0)
    traces = open_traces("x")
    assert traces is not None
    found = traces.begin({b"traceparent": sent}).traceparent.split("-")
    assert (found[0], len(found[1]), len(found[2])) == ("00", 32, 16)
    assert int(found[1], 16)
    traces.close()
