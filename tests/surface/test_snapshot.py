"""What is promised to the outside is what the snapshot says, but for the listed changes.

The snapshot is `tests/surface/snapshot/*.json`; it was made by the programs themselves. This makes
it anew, for a change that is meant to stay:

    SURFACE=write ./just test tests/surface

A change that is meant for now is listed in `changes.toml`, a table per place:

    [[change]]
    path = "asr-metrics > asr_queue_depth"
    reason = "renamed to asr_quick_waiting"
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from homes import make_home
from surface import gather
from surface.asr_session import asr_server
from surface.llm_session import llm_server
from surface.shape import SEPARATOR, canonical, differences

HERE = Path(__file__).resolve().parent
SNAPSHOT = HERE / "snapshot"
PARTS = {
    "programs": {"settings", "variables", "commands", "codes"},
    "asr": {"asr-openapi", "asr-routes", "asr-metrics", "asr-log", "asr-payloads"},
    "llm": {"llm-openapi", "llm-routes", "llm-metrics", "llm-log", "llm-payloads"},
}


def listed(text: str) -> dict[str, str]:
    """The allowed differences: path to reason."""
    changes = tomllib.loads(text).get("change", [])
    found = {each["path"]: each["reason"] for each in changes}
    assert len(found) == len(changes), "a path is listed twice"
    assert all(reason.strip() for reason in found.values()), "a change has no reason"
    known = set().union(*PARTS.values())
    assert {path.split(SEPARATOR)[0] for path in found} <= known, "a path begins with no part"
    return found


def judged(before: dict[str, Any], after: dict[str, Any], changes: dict[str, str]) -> list[str]:
    """What is wrong, a line each: unlisted differences, and listed ones that are none."""
    found = dict(differences(before, after, ()))
    ours = {path for path in changes if path.split(SEPARATOR)[0] in after}
    return [
        *(f"{path} {what}" for path, what in found.items() if path not in ours),
        *(f"{path} is listed in changes.toml and is as before" for path in ours - found.keys()),
    ]


def compare(after: dict[str, Any], whose: str) -> None:
    """Compare parts with the snapshot, or write them when asked to."""
    assert after.keys() == PARTS[whose]
    if os.environ.get("SURFACE") == "write":
        for name, value in after.items():
            (SNAPSHOT / f"{name}.json").write_text(canonical(value), encoding="utf-8")
    before = {name: json.loads((SNAPSHOT / f"{name}.json").read_text()) for name in after}
    changes = listed((HERE / "changes.toml").read_text())
    wrong = judged(before, json.loads(canonical(after)), changes)
    assert not wrong, "\n".join(wrong)


def test_settings_commands_and_codes() -> None:
    """Variables, their ranges and defaults; commands and options; codes and statuses."""
    compare(
        {
            "settings": gather.settings(),
            "variables": gather.variables(),
            "commands": gather.commands(),
            "codes": gather.codes(),
        },
        "programs",
    )


def test_asr_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Routes, document, metrics, log and payloads, as a running server shows them."""
    key = gather.new_key(tmp_path / "state", capsys)
    compare(asr_server(make_home(tmp_path / "home"), tmp_path, key), "asr")


def test_llm_server(tmp_path: Path) -> None:
    """The same of llm-server, over the stub that stands in for vLLM."""
    compare(llm_server(tmp_path), "llm")


def test_an_unlisted_difference_and_a_stale_entry_are_found() -> None:
    """New, gone, changed and retyped places each count; a listed one passes only while it is."""
    before = {"codes": {"a": 1, "b": [1, {"c": None}], "d": True, "e": {"f": 1}}}
    after = {"codes": {"a": 2, "b": [1, {"c": 0}], "d": 1, "g": 1}}
    paths = [f"codes > {rest}" for rest in ("a", "b > 1 > c", "d", "e", "g")]
    assert [line.rsplit(" ", 2)[0] for line in judged(before, before, {})] == []
    assert sorted(path for path, _ in differences(before, after, ())) == sorted(paths)
    assert len(judged(before, after, {})) == len(paths)
    assert judged(before, after, dict.fromkeys(paths, "meant")) == []
    assert len(judged(before, after, dict.fromkeys([*paths, "codes > z"], "meant"))) == 1
    assert len(judged(before, before, {"codes > a": "meant", "llm-log > a": "elsewhere"})) == 1
    with pytest.raises(AssertionError, match="no reason"):
        listed('[[change]]\npath = "codes > a"\nreason = " "\n')
    with pytest.raises(AssertionError, match="no part"):
        listed('[[change]]\npath = "code > a"\nreason = "meant"\n')
