"""What Prometheus reads: the golden signals, true to what happened, and nothing private."""

from __future__ import annotations

import asyncio
import re

import httpx
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

import sounds
from asr.bench import Bench

SOUND = sounds.silence(0.2)


def scrape(bench: Bench) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels to value."""
    answer = bench.send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_encoder_tells_how_full_its_calls_are(bench: Bench) -> None:
    """Windows over calls, by model."""
    bench.stub.tally.add(3)
    bench.stub.tally.add(1)
    found = scrape(bench)
    assert found["asr_encoder_calls_total", (("model", "tiny"),)] == 2
    assert found["asr_encoder_windows_total", (("model", "tiny"),)] == 4


def request(route: str, status: int, code: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The key of a request counter."""
    return (
        "asr_requests_total",
        (("code", code), ("route", route), ("status", str(status))),
    )


def test_requests_are_counted_by_route_and_code(bench: Bench) -> None:
    """Successes, refusals and other people's typing, which makes no new route."""
    bench.send("PUT", "/v1/transcribe", content=SOUND)
    bench.send("PUT", "/v1/transcribe?colour=red", content=SOUND)
    bench.send("POST", "/v1/audio/transcriptions", files={"file": ("секрет.wav", SOUND)})
    for name in ("a", "b"):
        bench.send("GET", f"/v1/models/{name}")
        bench.send("GET", f"/{name}")
    found = scrape(bench)
    assert found[request("/v1/transcribe", 200, "ok")] == 1
    assert found[request("/v1/transcribe", 400, "option_invalid")] == 1
    assert found[request("/v1/audio/transcriptions", 200, "ok")] == 1
    assert found[request("/v1/models/{name}", 404, "model_unknown")] == 2
    assert found[request("other", 404, "not_found")] == 2
    assert found["asr_upload_bytes_total", ()] == 2 * len(SOUND)
    assert found["asr_audio_seconds_total", ()] == 2.0
    for name in ("asr_queue_wait_seconds", "asr_work_seconds", "asr_rtf"):
        assert found[f"{name}_count", ()] == 2
    assert found["asr_ready", ()] == 1
    assert found["asr_queue_limit", ()] == bench.service.settings.queue_size
    assert found["process_resident_memory_bytes", ()] > 1 << 20
    assert found["process_cpu_seconds_total", ()] > 0
    text = bench.send("GET", "/metrics").text
    assert "секрет" not in text
    assert not re.search(r'"[^"]*да[^"]*"', text)


def test_in_flight_and_queue_are_of_the_moment(bench: Bench) -> None:
    """One runs, one waits; afterwards nothing does."""
    bench.stub.gate.clear()

    async def scene(client: httpx.AsyncClient) -> str:
        tasks = [asyncio.create_task(client.put("/v1/transcribe", content=SOUND))]
        while not bench.stub.entered.is_set():
            await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(client.put("/v1/transcribe", content=SOUND)))
        while not len(bench.service.engine.queue):
            await asyncio.sleep(0.01)
        during = (await client.get("/metrics")).text
        bench.stub.gate.set()
        await asyncio.gather(*tasks)
        return during

    during = bench.run(scene)
    assert "asr_requests_in_flight 3.0" in during  # the scrape itself is one
    assert "asr_queue_depth 1.0" in during
    after = scrape(bench)
    assert after["asr_requests_in_flight", ()] == 1
    assert after["asr_queue_depth", ()] == 0


def test_servers_do_not_share_a_registry(bench: Bench, make_bench: object) -> None:
    """Two in one process count apart, and a scraper that accepts OpenMetrics gets it."""
    from asr.bench import make

    other = make()
    bench.send("GET", "/health")
    assert request("/health", 200, "ok") in scrape(bench)
    assert request("/health", 200, "ok") not in scrape(other)
    other.service.engine.close(5.0)
    answer = bench.send("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in openmetrics(answer.text)} >= {"asr_requests", "asr_model"}
