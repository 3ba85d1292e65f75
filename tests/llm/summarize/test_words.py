"""Settings, vLLM's log lines and vLLM's metrics: how they are read and what is logged."""

from __future__ import annotations

import pytest

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.llm.metrics import of_vllm
from glagol.llm.settings import Settings
from glagol.llm.vllm.logs import Lines

BAD = {
    "LLM_PORT": ("0", "65536", "x"),
    "LLM_DEVICE": ("rocm",),
    "LLM_MEMORY": ("0", "1", "nan", "half"),
    "LLM_MAX_CONTEXT": ("255", "1e4"),
    "LLM_MAX_CONCURRENT": ("0", "-1"),
    "LLM_ASR_URL": ("redis://x", "http://a b"),
    "LLM_LOG_LEVEL": ("loud",),
    "LLM_TRUST": ("blind",),
    "LLM_HOST": ("a b",),
}


def test_settings_are_few_and_have_a_home() -> None:
    """At most seventeen; state lies where programs of the user keep theirs."""
    assert len(Settings.rows()) <= 17
    assert Settings.from_environment({"HOME": "/h"}).state == "/h/.local/state/glagol"
    assert Settings.from_environment({"XDG_STATE_HOME": "/s"}).state == "/s/glagol"
    assert Settings.from_environment({"LLM_PORT": ""}).port == 8081


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD.items() for v in vs])
def test_a_bad_value_is_named(name: str, value: str) -> None:
    """With the variable, the value and what it takes."""
    with pytest.raises(InputError) as caught:
        Settings.from_environment({name: value})
    takes = next(row.takes.words for row in Settings.rows() if row.name == name)
    assert caught.value.code == "setting_invalid"
    assert caught.value.message == f"{name}={value!r} is not {takes}"


def test_a_slip_gets_a_hint() -> None:
    """The error for an unknown name suggests the one that it resembles."""
    found = Settings.from_environment({"LLM_MEMROY": "0.5"}).unknown
    assert found == ("LLM_MEMROY (did you mean LLM_MEMORY?)",)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the journal was given."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(journal, "write", lambda _, **fields: lines.append(fields))
    return lines


def test_no_prompt_is_logged(log: list[dict[str, object]]) -> None:
    """Once requests may be there, the process that reads them is quoted no more."""
    lines = Lines()
    front = "(APIServer pid=7) ERROR 11-21 10:49:38 [serving.py:274] Error with SECRET"
    lines.tell(front)
    messages = [line["message"] for line in log]
    assert messages[-1] == "Error with SECRET"  # no request was made yet
    lines.serving = True
    before = len(log)
    lines.tell(front)
    lines.tell("Traceback (most recent call last): SECRET")
    lines.tell("(EngineCore pid=8) WARNING 11-21 10:49:38 [core.py:1] cache is full")
    assert "SECRET" not in str(log[before:])
    assert [line.get("place") for line in log[before:]] == ["serving.py:274", "core.py:1"]
    assert log[-1]["message"] == "cache is full"


def test_only_the_models_metrics_are_kept() -> None:
    """Families vllm:* with their comments; others would meet ours of the same name."""
    text = (
        b"# HELP python_info x\n# TYPE python_info gauge\npython_info 1\n"
        b'# HELP vllm:n vllm: waiting\n# TYPE vllm:n gauge\nvllm:n{a="1"} 2.0\n# EOF\n'
    )
    kept = b'# HELP vllm:n vllm: waiting\n# TYPE vllm:n gauge\nvllm:n{a="1"} 2.0\n'
    assert of_vllm(text) == kept
