"""env-check --llm: each thing that keeps a language model from serving, with its remedy."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = b"weights" * 100


@pytest.fixture
def llm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose default language model is pinned and here, with vLLM's environment beside it."""
    home = tmp_path / "home"
    shutil.copytree(ROOT / "lock", home / "lock")
    manifest = json.loads((ROOT / "manifest.json").read_bytes())
    (model,) = (m for m in manifest["models"] if m["id"] == manifest["defaults"]["llm"])
    (variant,) = model["variants"]
    sha256 = Store(home / "store").add_bytes(WEIGHTS)
    named = {"path": "model.safetensors", "sha256": sha256, "size_bytes": len(WEIGHTS)}
    variant["artifacts"] = [named]
    (home / "manifest.json").write_text(json.dumps(manifest))
    (home / "lock" / "llm-cuda.txt").write_text("vllm==1.0 \\\n    --hash=sha256:00\n")
    env = home / ".env" / "llm-cuda"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    installed(env, "vllm", "1.0")
    for name in ("LLM_PYTHON", "LLM_MODEL_NAME", "LLM_DEVICE", "GLAGOL_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLM_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    return home


def installed(env: Path, name: str, version: str) -> None:
    """As an installer leaves a package."""
    site = next(env.glob("lib/python3*/site-packages"))
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (site / f"{name}.py").write_text("answer = 42\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    digest = hashlib.sha256(b"answer = 42\n").digest()
    value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    (info / "RECORD").write_text(f"{name}.py,sha256={value},12\n{info.name}/RECORD,,\n")


def card(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """An nvidia-smi that says this."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{says}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.fixture
def check(glagol: Callable[..., Result], llm_home: Path) -> Callable[..., dict[str, Any]]:
    """The report of the home by check, each failure with its remedy."""

    def run(*arguments: object) -> dict[str, Any]:
        done = glagol("env-check", "--llm", "--json", "--home", llm_home, *arguments)
        answer = json.loads(done.out)
        failed = [f for f in answer["findings"] if f["status"] == "fail"]
        assert answer["ok"] is not bool(failed)
        assert done.status == (5 if failed else 0)
        assert all(f["remedy"] for f in failed)
        assert not [f for f in answer["findings"] if f["status"] == "ok" and f["remedy"]]
        return {f["check"]: f for f in answer["findings"]}

    return run


Check = Callable[..., dict[str, Any]]


def test_environment_and_model_are_right(check: Check) -> None:
    """Names, versions, records and every byte of the model."""
    found = check()
    for name in ("python", "libc", "manifest", "vllm", "vllm lock", "vllm records"):
        assert found[name]["status"] == "ok", found[name]
    assert found["vllm lock"]["found"] == "1 packages as locked"
    assert found["vllm records"]["found"] == "1 files as their wheels say"
    assert found["model qwen3-4b/cuda-bf16"]["status"] == "ok"
    assert "cuda driver" in found


def test_no_environment(check: Check, llm_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finding, not three; LLM_PYTHON is looked at first."""
    monkeypatch.setenv("LLM_PYTHON", "/nowhere/python")
    found = check()
    assert "/nowhere/python" in found["vllm"]["found"]
    assert "variant full" in found["vllm"]["remedy"]
    assert not {"vllm lock", "vllm records"} & found.keys()
    monkeypatch.setenv("LLM_PYTHON", str(llm_home / ".env/llm-cuda/bin/python"))
    shutil.rmtree(llm_home / ".env" / "llm-cuda" / "lib")
    found = check()
    assert "vllm is absent" in found["vllm lock"]["found"]
    (llm_home / "broken").write_text("#!/bin/sh\necho no such thing >&2; exit 3\n")
    (llm_home / "broken").chmod(0o755)
    monkeypatch.setenv("LLM_PYTHON", str(llm_home / "broken"))
    assert "no such thing" in check()["vllm"]["found"]


def test_another_environment_than_the_lock(check: Check, llm_home: Path) -> None:
    """Another version, a package too many, a changed file: each is named."""
    env = llm_home / ".env" / "llm-cuda"
    installed(env, "stranger", "1.0")
    (llm_home / "lock" / "llm-cuda.txt").write_text("vllm==2.0\n")
    next(env.glob("lib/python3*/site-packages/vllm.py")).write_text("answer = 43\n")
    found = check()
    assert "vllm is 1.0, not 2.0" in found["vllm lock"]["found"]
    assert "stranger is not in the lock" in found["vllm lock"]["found"]
    assert found["vllm records"]["found"] == "vllm: vllm.py"


def test_wheels_that_contradict_themselves_or_each_other(check: Check, llm_home: Path) -> None:
    """One path of two wheels is right as either's; byte code is ignored; the rest is a failure."""
    site = next((llm_home / ".env" / "llm-cuda").glob("lib/python3*/site-packages"))
    other = site / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "RECORD").write_text("vllm.py,sha256=AAAA,1\nx.pyc,sha256=AAAA,1\n")
    assert check()["vllm records"]["found"] == "1 files as their wheels say"
    (other / "RECORD").write_text("vllm.py,sha256=AAAA,1\ny.py,sha256=AAAA,1\n")
    assert check()["vllm records"]["found"] == "other: y.py"


def test_the_users_own_packages_have_no_say(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PYTHONPATH names is not in vLLM's environment."""
    (tmp_path / "own" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    installed(tmp_path / "own", "stranger", "1.0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own/lib/python3.11/site-packages"))
    assert check()["vllm lock"]["status"] == "ok"


def test_model(check: Check, llm_home: Path) -> None:
    """Altered, not pinned, not a language model, not known."""
    assert "digests" in check("qwen3-4b-awq")["model"]["found"]
    assert "gigaam" in check("gigaam-nano")["model"]["found"]
    assert "unheard-of" in check("unheard-of")["model"]["found"]
    place = Store(llm_home / "store").path_of(hashlib.sha256(WEIGHTS).hexdigest())
    place.unlink()
    place.write_bytes(WEIGHTS[:-1] + b"!")
    assert check()["model"]["status"] == "fail"


@pytest.mark.parametrize(
    ("mib", "policy", "status", "word"),
    [
        (24576, "", "ok", "alone"),
        (4096, "", "fail", "the card has 4.00 GiB"),
        (24576, '[gpu]\nvram_gib = 24\nasr = "none"\n', "ok", "as policy.toml plans"),
        (12288, "[gpu]\nvram_gib = 24\n", "fail", "policy.toml plans with 24"),
    ],
)
def test_memory_of_the_card(
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mib: int,
    policy: str,
    status: str,
    word: str,
) -> None:
    """Against the operator's plan; without one, against the model alone."""
    card(tmp_path / "tools", monkeypatch, f"echo {mib}")
    (tmp_path / "state" / "policy.toml").write_text(policy)
    found = check()["vram"]
    assert found["status"] == status, found
    assert word in found["found"]


def test_a_card_that_does_not_answer(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown is said; the driver's own check decides."""
    card(tmp_path / "tools", monkeypatch, "echo 'driver mismatch'; exit 9")
    assert check()["vram"]["status"] == "warn"


def test_no_card_is_asked_for(check: Check) -> None:
    """LLM_DEVICE=cpu needs neither driver nor memory of a card."""
    assert not {"vram", "cuda driver"} & check("--device", "cpu").keys()


def test_broken_manifest(check: Check, llm_home: Path) -> None:
    """The rest of the report is still given."""
    (llm_home / "manifest.json").write_text("{}")
    found = check()
    assert found["manifest"]["status"] == "fail"
    assert found["vllm lock"]["status"] == "ok"


def test_table(glagol: Callable[..., Result], llm_home: Path) -> None:
    """For people: a line for each check, and what to do."""
    done = glagol("env-check", "--llm", "--home", llm_home, "gigaam-nano")
    assert done.status == 5
    assert "FAIL  model" in done.out
    assert "what to do: set LLM_MODEL_NAME" in done.out
    assert glagol("env-check", "--llm", "--home", llm_home, "a", "b").status == 2
