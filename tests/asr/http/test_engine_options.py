"""Task, window and prompt on our own routes: they reach the model, and what it lacks is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import submit, until
from glagol.asr.http.engine_options import EngineOptions
from glagol.asr.jobs.payload import Work
from glagol.speech.phrases.types import Phrase
from glagol.speech.types import Options

URL = "/v1/transcribe"
SOUND = sounds.silence(0.2)
ASKED = {"task": "translate", "window": "full", "prompt": "Екатерина", "language": "auto"}


def seen(options: Options) -> tuple[object, ...]:
    """What the engine is asked for."""
    return options.task, options.window, options.prompt, options.language


def test_they_reach_the_model(bench: Bench) -> None:
    """From the form, and from the address; nothing asked leaves the model its own rules."""
    form = {"model": "many", **ASKED}
    assert bench.send("POST", URL, files={"file": SOUND}, data=form).status_code == 200
    assert bench.send("PUT", URL, params=form, content=SOUND).status_code == 200
    assert bench.send("PUT", URL, params={"model": "many"}, content=SOUND).status_code == 200
    first, second, third = (seen(options) for _, options in bench.stub.calls)
    assert first == second == ("translate", "full", "Екатерина", "auto")
    assert third == ("transcribe", None, "", "auto")


@pytest.mark.parametrize(
    ("model", "asked", "parameter"),
    [
        ("tiny", {"task": "translate"}, "task"),
        ("english", {"task": "translate"}, "task"),
        ("many", {"task": "summarize"}, "task"),
        ("tiny", {"window": "full"}, "window"),
        ("many", {"window": "half"}, "window"),
        ("tiny", {"prompt": "Екатерина"}, "prompt"),
        ("many", {"prompt": "x" * 10_000}, "prompt"),
        ("many", {"phrases": "нижний новгород"}, "phrases"),
        ("many", {"language": "fr"}, "language"),
        ("english", {"language": "ru"}, "language"),
    ],
)
def test_what_the_model_lacks_is_refused(
    bench: Bench, model: str, asked: dict[str, str], parameter: str
) -> None:
    """By one code, naming the parameter, before the model gets it; for jobs as well."""
    for more in ({}, {"async": "true"}):
        params = {"model": model, **asked, **more}
        answer = bench.send("PUT", URL, params=params, content=SOUND)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "option_invalid")
        assert parameter in error["message"]
        assert error["remedy"]
    assert bench.stub.calls == []


def test_phrases_reach_the_model(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """From the form, longer than its other fields may be, and in jobs, with their weights."""
    bench = make_bench(state=str(tmp_path / "state"))
    lines = [f"слово {'а' * 40}{number}" for number in range(1000)]
    data = {"phrases": "\n".join(["нижний новгород^2", *lines])}
    assert bench.send("POST", URL, files={"file": SOUND}, data=data).status_code == 200
    many = {"phrases": "\n".join(f"слово {number}" for number in range(5001))}
    error = bench.send("POST", URL, files={"file": SOUND}, data=many).json()["error"]
    assert (error["code"], "5000" in error["remedy"]) == ("option_invalid", True)
    made = submit(bench, "&phrases=нижний новгород^2%0Aкот")
    until(bench, made.id, "done")
    first, second = (options.phrases for _, options in bench.stub.calls)
    assert (len(first), first[0]) == (1001, Phrase("нижний новгород", 2.0))
    assert second == (Phrase("нижний новгород", 2.0), Phrase("кот"))


def test_jobs_keep_them(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """The worker asks its model for the same."""
    bench = make_bench(state=str(tmp_path / "state"))
    made = submit(bench, "&model=many&task=translate&window=full&prompt=Екатерина")
    until(bench, made.id, "done")
    assert seen(bench.stub.calls[0][1]) == ("translate", "full", "Екатерина", "auto")


def test_what_was_not_asked_is_not_stored() -> None:
    """So an earlier version can read the order, and its idempotency keys mean the same."""
    plain = Work(
        model="tiny",
        language="ru",
        word_timestamps=True,
        format="json",
        audio_sha256="0" * 64,
        size_bytes=1,
        audio_s=None,
    )
    assert b"engine" not in plain.encoded()
    assert b"engine" not in msgspec.structs.replace(plain, engine=EngineOptions()).encoded()
    asked = Work.decoded(plain.encoded().replace(b"{", b'{"engine":{"task":"translate"},', 1))
    assert asked.engine == EngineOptions(task="translate")
    assert Work.decoded(asked.encoded()) == asked
    assert asked.sha256() != plain.sha256()
    # the digest that the version before this option gave
    assert plain.sha256() == "4c98284ed6757b9cbdc08af036f5628afb258550f967f4299ae3435c13b66c16"
