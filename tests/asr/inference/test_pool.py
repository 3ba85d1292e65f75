"""The inference thread and its queue; opening and proving the real model."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sounds
from asr.bench import Bench, Stub
from glagol.asr.bootstrap import opener
from glagol.asr.inference.models import OpenModels
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.scheduler import JobQueue
from glagol.asr.inference.tasks import Job
from glagol.asr.settings import Settings
from glagol.core import journal
from glagol.core.errors import GlagolError, HostError, LimitError
from glagol.registry.manifest.read import canonical, parse
from glagol.registry.registry import Registry
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options
from homes import MODEL, altered, make_home

SILENCE = sounds.silence(1)


def job(model: str = "tiny") -> Job:
    """A job over a second of silence."""
    digest = hashlib.sha256(SILENCE).hexdigest()
    return Job(
        file=io.BytesIO(SILENCE),
        audio_sha256=digest,
        model=model,
        options=Options(),
        render=lambda _: b"",
    )


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.lists(st.sampled_from(["put", "take", "cancel"]), max_size=30))
def test_the_queue_never_holds_more_than_it_may(size: int, steps: list[str]) -> None:
    """In order, at most `size` (one more while the worker is free), cancelled jobs are gone."""
    models = OpenModels("tiny", lambda _: Opened(cast("Recognizer", Stub()), {}))
    queue = JobQueue(size, models)
    models.start()
    waiting: list[Job] = []
    idle = 1
    for step in steps:
        if step == "put":
            new = job()
            if len(waiting) >= size + idle:
                with pytest.raises(LimitError, match="wait already"):
                    queue.put(new)
            else:
                queue.put(new)
                waiting.append(new)
        elif step == "take" and waiting:
            assert queue.take() is waiting.pop(0)
            idle = 0
        elif step == "cancel" and waiting:
            gone = waiting.pop()
            gone.cancel()
            assert gone.file.closed
        assert len(queue) == len(waiting)
    models.stop()
    queue.close()
    assert queue.take() is None
    for left in waiting:
        with pytest.raises(HostError, match="stopping"):
            left.done.result(0)
        assert left.file.closed


def test_models_give_way_to_each_other_but_not_the_default() -> None:
    """Two are open at most: the default and the one used last."""
    stub = Stub()
    stub.gate.set()
    opened: list[str] = []

    def open_model(name: str) -> Opened:
        opened.append(name)
        return Opened(stub, {})

    engine = InferencePool("tiny", open_model, queue_size=9, clock=time.perf_counter)
    engine.start()
    for name in ("other", "tiny", "third", "third", "other", "tiny"):
        work = job(name)
        engine.queue.put(work)
        work.done.result(10)
        assert work.file.closed
    engine.close(5)
    assert opened == ["tiny", "other", "third", "other"]


def test_an_error_that_is_raised_often_does_not_grow(make_bench: Callable[..., Bench]) -> None:
    """Probes every few seconds for weeks must not lengthen a traceback."""
    engine = make_bench(trouble=HostError("provider_missing", "no CUDA", "cpu")).service.engine
    assert engine.trouble is not engine.trouble
    assert engine.trouble is not None
    assert engine.trouble.__traceback__ is None
    with pytest.raises(HostError, match="no CUDA"):
        engine.admit("tiny")


def started(home: Path, **chosen: Any) -> GlagolError | None:
    """Start an engine on the real model; why it is not ready."""
    settings = Settings(**chosen)
    opening = opener(settings, Registry.load(home), home)
    engine = InferencePool(MODEL, opening, queue_size=1, clock=time.perf_counter)
    engine.start()
    engine.close(60)
    return engine.trouble


def test_only_a_proven_model_is_ready(tmp_path: Path) -> None:
    """Right; another transcript; an altered clip; an altered graph; no file; no such provider."""
    home = make_home(tmp_path)
    manifest = parse((home / "manifest.json").read_bytes())
    golden = next(model.golden for model in manifest.models if model.id == MODEL)
    assert golden is not None
    assert started(home) is None
    cuda = started(home, device="cuda")
    assert cuda is not None
    assert cuda.code in ("provider_missing", "option_invalid")

    wrong = tmp_path / "wrong.txt"
    wrong.write_text("совсем другие слова")
    _with_golden(home, transcript="wrong.txt", transcript_sha256=_sha256(wrong))
    other = started(home)
    assert other is not None
    assert other.code == "not_ready"
    assert "совсем другие слова" in other.message

    _with_golden(home, audio_sha256="0" * 64)
    clip = started(home)
    assert clip is not None
    assert clip.code == "artifact_altered"
    assert golden.audio in clip.message

    path = altered(home)
    graph = started(home)
    assert graph is not None
    assert graph.code == "artifact_altered"
    assert path.parent.name + path.name in graph.message
    path.unlink()
    gone = started(home)
    assert gone is not None
    assert gone.code == "artifact_missing"
    assert f"glagol models fetch {MODEL}" in gone.remedy


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _with_golden(home: Path, **changes: str) -> None:
    """Change the known answer of the default model in the manifest."""
    path = home / "manifest.json"
    manifest = parse(path.read_bytes())
    models = []
    for model in manifest.models:
        if model.id == MODEL and model.golden is not None:
            changed = msgspec.structs.replace(model.golden, **changes)
            models.append(msgspec.structs.replace(model, golden=changed))
        else:
            models.append(model)
    path.unlink()
    path.write_bytes(canonical(msgspec.structs.replace(manifest, models=tuple(models))))


def test_the_log_line_is_json(make_bench: Callable[..., Bench], capfd: Any) -> None:
    """What the engine says at start can be read by a program."""
    journal.configure("info")
    make_bench(trouble=RuntimeError("broken driver"))
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert line["event"] == "model not ready"
    assert "broken driver" in line["traceback"]
