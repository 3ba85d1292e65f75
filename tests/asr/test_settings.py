"""Settings are read once, strictly, and a wrong one says what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

import homes
from glagol.asr.bootstrap import assemble, opener
from glagol.asr.engine_models import parse, pointed
from glagol.asr.settings import Settings
from glagol.core import journal
from glagol.core.errors import CODES, InputError
from glagol.runtime import builds
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer

WRONG = {
    "ASR_HOST": "two words",
    "ASR_PORT": "0",
    "ASR_HOSTS": "http://asr.example",
    "ASR_ORIGINS": "null",
    "ASR_KEYS": "maybe",
    "ASR_MODEL_NAME": "a b",
    "ASR_MODEL_REGISTRY_PATH": "a\0b",
    "ASR_DEFAULT_MODELS": "many",
    "ASR_VARIANT": "x y",
    "ASR_DEVICE": "tpu",
    "ASR_THREADS": "-1",
    "ASR_KERNELS": "yes",
    "ASR_OPENAI_LENIENT": "yes",
    "ASR_SHORT_AUDIO_THRESHOLD": "nan",
    "ASR_WEBHOOK_TIMEOUT": "0",
    "ASR_REDIS_URL": "http://somewhere",
    "ASR_MAX_UPLOAD_BYTES": "1e9",
    "ASR_MAX_AUDIO_SECONDS": "inf",
    "ASR_JAIL_SLOTS": "0",
    "ASR_MIN_BODY_RATE": "slow",
    "ASR_OWNER_SHARE": "0",
    "ASR_PAUSE_MS": "100",
    "ASR_QUEUE_SIZE": "many",
    "ASR_LOG_LEVEL": "loud",
    "ASR_TRUST": "yes",
    "ASR_STATE": "a\0b",
}


def test_every_variable_has_a_wrong_value_that_is_refused() -> None:
    """The error names variable, value and range, and ends the process with 2."""
    rows = Settings.rows()
    assert set(WRONG) == {row.name for row in rows}
    assert len(rows) <= 28
    for row in rows:
        with pytest.raises(InputError) as caught:
            Settings.from_environment({row.name: WRONG[row.name]})
        assert caught.value.code == "setting_invalid"
        assert CODES["setting_invalid"].exit_status == 2
        assert row.name in caught.value.message
        assert row.takes.words in caught.value.message
        assert row.attribute == "redis_url" or repr(WRONG[row.name]) in caught.value.message


def test_the_users_four_and_the_defaults() -> None:
    """The names of the user's plan mean what the plan says; empty counts as unset."""
    given = {
        "ASR_REDIS_URL": "redis://:secret@redis:6379/0",
        "ASR_MODEL_NAME": "ai-sage/GigaAM-v3",
        "ASR_SHORT_AUDIO_THRESHOLD": "30",
        "ASR_WEBHOOK_TIMEOUT": "60",
        "ASR_PORT": "",
        "PATH": "/bin",
    }
    settings = Settings.from_environment(given)
    assert settings.short_audio_s == 30.0
    assert settings.webhook_timeout_s == 60.0
    assert settings.model_name == "ai-sage/GigaAM-v3"
    assert settings.port == 8080
    assert "secret" not in str(settings.as_log())
    assert Settings.from_environment({}) == Settings()


def test_the_manifest_may_lie_elsewhere(tmp_path: Path) -> None:
    """ASR_MODEL_REGISTRY_PATH names it; the store and the rest stay in GLAGOL_HOME."""
    moved = tmp_path / "models.json"
    moved.write_bytes((homes.ROOT / "manifest.json").read_bytes())
    given = {"GLAGOL_HOME": str(tmp_path), "ASR_MODEL_REGISTRY_PATH": str(moved)}
    found = assemble(given)
    try:
        assert found.registry.manifest == homes.repository().manifest
        assert found.registry.store.root == tmp_path / "store"
    finally:
        found.engine.close(5.0)
    with pytest.raises(InputError, match=r"models2\.json") as caught:
        assemble({**given, "ASR_MODEL_REGISTRY_PATH": f"{tmp_path}/models2.json"})
    assert "MODEL_REGISTRY_PATH" in caught.value.remedy


def test_each_engine_has_a_default_of_the_operators() -> None:
    """A request for the engine gets that model; the manifest's number stays that of its bytes."""
    registry = homes.repository()
    assert registry.model("whisper").id == "whisper-base"
    large = pointed(registry, parse(" whisper=openai/whisper-large-v3 , gigaam=v3_ctc"))
    assert large.model("whisper").id == "whisper-large-v3"
    assert large.model("gigaam").id == "gigaam-v3-ctc"
    assert large.manifest.manifest_version == registry.manifest.manifest_version
    assert pointed(registry, "") == pointed(registry, "whisper=whisper-base") == registry


@pytest.mark.parametrize(
    "chosen",
    ["whisper=gigaam-nano", "whisper=nothing", "silero=silero-vad", "vllm=qwen3-4b"],
)
def test_a_wrong_default_of_an_engine_stops_the_start(chosen: str) -> None:
    """Another engine's model, none, or one that does not transcribe; the error names the pair."""
    with pytest.raises(InputError, match="ASR_DEFAULT_MODELS") as caught:
        pointed(homes.repository(), parse(chosen))
    assert caught.value.code == "setting_invalid"
    assert chosen in caught.value.message


def test_state_is_where_the_system_keeps_it_by_default() -> None:
    """By the XDG specification; relative paths of the operator become absolute."""
    for given, expected in (
        ({"ASR_STATE": "/var/glagol"}, "/var/glagol"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/x"}, "/state/glagol"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/x"}, "/home/x/.local/state/glagol"),
        ({}, ""),
    ):
        assert Settings.from_environment(given).state == expected
    assert Settings.from_environment({"ASR_STATE": "here"}).state == str(Path("here").absolute())


def test_unknown_names_are_reported_with_a_hint() -> None:
    """A typing error is seen; another program's variable is not."""
    found = Settings.from_environment({"ASR_THREAD": "2", "ASR_ZZZ": "", "OTHER": "1"})
    assert found.unknown == ("ASR_THREAD (did you mean ASR_THREADS?)", "ASR_ZZZ")


@pytest.mark.parametrize(("given", "expected"), [({}, True), ({"ASR_KERNELS": "off"}, False)])
def test_kernels_are_used_unless_switched_off(
    given: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the operator chose reaches the recogniser."""
    seen: list[bool] = []

    def opened(*_: object, runtime: Runtime, **__: object) -> None:
        seen.append(runtime.kernels)
        raise InputError("model_unknown", "not opened here", "nothing")

    monkeypatch.setattr(Recognizer, "open", opened)
    registry = homes.repository()
    with pytest.raises(InputError):
        opener(Settings.from_environment(given), registry, tmp_path)(homes.MODEL)
    assert seen == [expected]


def test_a_replaced_variant_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who asked for int8 reads in the log that fp32 runs."""
    lines: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(journal, "write", lambda event, **fields: lines.append((event, fields)))
    monkeypatch.setattr(builds, "inexact", lambda **_: True)
    settings = Settings.from_environment({"ASR_VARIANT": "cpu-int8"})
    opener(settings, homes.repository(), homes.ROOT)(homes.MODEL)
    ((event, fields),) = lines
    assert event.startswith("another variant is open")
    assert (fields["asked"], fields["opened"]) == ("cpu-int8", "cpu-fp32")
