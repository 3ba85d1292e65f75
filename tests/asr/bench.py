"""An application around a recognizer that needs no model, for what happens before the model."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from glagol.asr.app import build
from glagol.asr.http.request import Service
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.jobs.service import Jobs, open_jobs
from glagol.asr.jobs.workers import JobThreads
from glagol.asr.observability.metrics import Metrics
from glagol.asr.settings import Settings
from glagol.core.errors import HostError
from glagol.registry.manifest.read import parse
from glagol.registry.registry import Registry
from glagol.registry.store import Store
from glagol.runtime.batching import Tally
from glagol.speech.audio.jail.pool import Jail
from glagol.speech.audio.source import AudioSource
from glagol.speech.pipeline.blocks import opening
from glagol.speech.pipeline.channel_decoder import ChannelDecoder
from glagol.speech.pipeline.channels import WindowRecognizer
from glagol.speech.pipeline.live import Live
from glagol.speech.types import (
    Coverage,
    Options,
    Progress,
    Provenance,
    Segment,
    Step,
    Transcript,
    Word,
)
from glagol.web.access.policy import Policy
from glagol.web.request_log import Observed

DEFAULT = Options()

MANY = {
    "kind": "attention",
    "mels": 80,
    "vocabulary": 51865,
    "alignment_heads": [[0, 0]],
    "translates": True,
}
"""A model that searches for its text, in several languages, and translates."""

MANIFEST = {
    "manifest_version": 7,
    "min_reader_version": 1,
    "defaults": {"asr": "tiny", "vad": "voice"},
    "models": [
        {
            "id": name,
            "engine": engine,
            "version": "1",
            "license": "MIT",
            "languages": languages,
            "source": {"repo": "none"},
            "variants": [{"id": "cpu-fp32", "provider": "cpu", "precision": "fp32"}],
            "decoding": decoding,
            "aliases": aliases,
            "note": note,
            "unpinned": "a test",
        }
        for name, engine, languages, decoding, aliases, note in (
            ("tiny", "gigaam", ["ru"], {"kind": "ctc"}, ["ai-sage/Tiny"], "for tests"),
            ("other", "gigaam", ["ru"], {"kind": "rnnt"}, [], ""),
            ("voice", "silero", [], {"kind": "vad"}, [], ""),
            ("many", "whisper", ["en", "ru", "de"], MANY, ["whisper"], ""),
            ("english", "whisper", ["en"], {**MANY, "translates": False}, [], ""),
        )
    ],
}


@cache
def jail() -> Jail:
    """One for all benches of this process; it ends with it."""
    found = Jail(tell=lambda _, /, **__: None)
    found.start()
    return found


class NotLive:
    """The part of a `Transcriber` that live audio needs, for stubs of tests without any."""

    def live(
        self, *, options: Options = DEFAULT, recognize: WindowRecognizer | None = None
    ) -> Live:
        """No test comes here."""
        raise NotImplementedError

    def begin(self, options: Options) -> ChannelDecoder:
        """No test comes here."""
        raise NotImplementedError


@dataclass
class Stub(NotLive):
    """Stands for the recognizer: remembers what it got, waits where a test tells it to."""

    calls: list[tuple[int, Options]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    texts: tuple[str, ...] = ("да",)
    tally: Tally = field(default_factory=Tally)

    def steps(
        self,
        file: BinaryIO,
        *,
        options: Options = DEFAULT,
        audio_sha256: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        opened: AudioSource | None = None,
    ) -> Generator[Step, None, Transcript]:
        """The first segment at once; then check the digest, wait for the gate; the others.

        Audio that was opened before is closed in the end, as the recogniser does.
        """
        if opened is not None:
            yield from opening(opened, cancelled)
            assert opened.channels
            opened.close()
        file.seek(0)
        assert audio_sha256 is not None
        transcript = self._transcript(audio_sha256)
        seconds = transcript.duration_s
        yield Step(transcript.segments[:1], Progress(1.0, seconds))
        data = file.read()
        assert hashlib.sha256(data).hexdigest() == audio_sha256
        self.calls.append((len(data), options))
        self.entered.set()
        while not self.gate.wait(0.01):
            if cancelled is not None and cancelled():
                self.cancelled.set()
                raise HostError("cancelled", "stopped", "none")
        if self.error is not None:
            raise self.error
        yield Step(transcript.segments[1:], Progress(seconds, seconds))
        return transcript

    def _transcript(self, sha256: str) -> Transcript:
        origin = Provenance(
            "tiny", "1", {}, 7, "0" * 64, "cpu-fp32", "cpu", "0", None, None, "0" * 64, sha256
        )
        segments = tuple(
            Segment(float(at), at + 1.0, text, (Word(float(at), at + 1.0, text, 0.5),))
            for at, text in enumerate(self.texts)
        )
        seconds = float(len(segments))
        text = " ".join(self.texts)
        return Transcript(text, segments, seconds, "ru", Coverage(seconds, 0.0), origin)


@dataclass
class Bench:
    """The application under test and what stands behind it."""

    app: Observed
    service: Service
    stub: Stub
    job_threads: JobThreads | None = None

    @property
    def jobs(self) -> Jobs:
        """The durable queue of a bench that has one."""
        assert self.service.jobs is not None
        return self.service.jobs

    def close(self) -> None:
        """End every thread."""
        self.service.engine.close(5.0)
        if self.job_threads is not None:
            self.job_threads.close(5.0)

    def run(self, test: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine against the application without a socket."""

        async def inside() -> Any:
            transport = httpx.ASGITransport(self.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                return await test(client)

        return asyncio.run(inside())

    def send(self, method: str, url: str, **rest: Any) -> httpx.Response:
        """One request."""

        async def one(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, url, **rest)

        answer: httpx.Response = self.run(one)
        return answer


def make(
    trouble: Exception | None = None, policy: Callable[[], Policy] = Policy, **settings: Any
) -> Bench:
    """A bench whose model opens, or fails with `trouble`; with `state` it runs jobs."""
    stub = Stub()
    stub.gate.set()
    store = Store(Path("nowhere"))
    registry = Registry(parse(json.dumps(MANIFEST).encode()), "0" * 64, store)

    def open_model(_: str) -> Opened:
        if trouble is not None:
            raise trouble
        return Opened(stub, {"known_answer": "exact"})

    chosen = Settings(**settings)
    engine = InferencePool(
        "tiny", open_model, queue_size=chosen.queue_size, clock=time.perf_counter
    )
    engine.start()
    while not engine.loaded:
        time.sleep(0.001)
    jobs = open_jobs(chosen, policy) if chosen.state else None
    service = Service(
        chosen,
        registry,
        engine,
        Metrics(engine, jobs),
        "tiny",
        time.perf_counter,
        jail(),
        jobs=jobs,
    )
    bench = Bench(build(service), service, stub)
    if jobs is not None:
        bench.job_threads = JobThreads(jobs, engine, jail(), chosen)
        bench.job_threads.start()
    return bench
