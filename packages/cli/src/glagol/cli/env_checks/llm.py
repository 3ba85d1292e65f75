"""Checks of a machine before it serves a language model: ``glagol env-check --llm``.

The checks of the machine are those of `glagol.cli.env_checks.asr`. vLLM runs in another
environment, so its own interpreter runs the checks, isolated (-I) from the user's variables and
folders.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from packaging.utils import canonicalize_name

from glagol.cli.env_checks import asr, lock
from glagol.cli.env_checks.asr import Finding
from glagol.core.errors import HostError, InputError
from glagol.llm.vllm import ENGINE
from glagol.llm.vllm.arguments import interpreter, served
from glagol.models import gpu_plan
from glagol.registry.registry import Registry
from glagol.web.access.policy import Policy, PolicyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.cli.env_checks.asr import Check, Question
    from glagol.llm.settings import Settings
    from glagol.registry.manifest.types import Model

SHARED = ("python", "libc", "clock", "disk", "wsl", "manifest")  # checks that both reports have
PYTHON = (3, 11)  # lock/llm-cuda.txt was resolved for it alone
PROBE_S = 900.0  # several GiB are hashed
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
NVIDIA_SMI_S = 30.0
# Runs in vLLM's environment, whatever is in there: the standard library alone. Two wheels may bring
# one path, and then the later one's file stands; byte code is made anew where it is installed.
_PROBE = """
import base64, hashlib, importlib.metadata, json, sys
names, claims, changed = {}, {}, []
for d in importlib.metadata.distributions():
    names.setdefault(d.metadata["Name"], d.version)
    for f in d.files or []:
        if f.hash is not None and f.hash.mode == "sha256" and f.suffix != ".pyc":
            said = d.metadata["Name"] + ": " + str(f), f.hash.value
            claims.setdefault(str(d.locate_file(f)), []).append(said)
for path, said in claims.items():
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        found = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    except OSError:
        found = ""
    if found not in {digest for _, digest in said}:
        changed.append([said[-1][0], found])
json.dump([list(sys.version_info[:3]), names, changed, len(claims)], sys.stdout)
"""
# Files of a locked wheel whose own RECORD is wrong, with the digests that they have in the wheel.
_MISRECORDED = {
    f"pynvvideocodec: PyNvVideoCodec/PyNvVideoCodec_{cuda}.cpython-311-x86_64-linux-gnu.so": digest
    for cuda, digest in (
        ("121", "DPcXlo5iFn_H6lfp2QsNLmkjOpQZMPq2lgeuZkb9-FE"),
        ("130", "qf_vGkfr5Ek3XHvvUjwn7alTLACGhxRnK8bWg5QO_5U"),
    )
}


@dataclass(frozen=True, slots=True)
class _Asked:
    settings: Settings
    registry: Registry

    def model(self) -> Model:
        name = self.settings.model_name or self.registry.manifest.defaults.llm
        model = self.registry.model(name) if name is not None else None
        if model is None or model.engine != ENGINE:
            raise InputError(
                "setting_invalid",
                f"{name} has the engine {model.engine}" if model else "no language model is named",
                "set LLM_MODEL_NAME to a model whose engine is vllm (`glagol models list`)",
            )
        return model


def run(question: Question, settings: Settings) -> list[Finding]:
    """Every finding; a check that breaks is itself a failure.

    Args:
        question: home, store and name of the lock.
        settings: what llm-server would start with.
    """
    findings = asr.run(question, {name: asr.CHECKS[name] for name in SHARED})
    checks: dict[str, Check] = {"vllm": lambda question: _environment(question, settings)}
    if settings.device == "cuda":
        checks["cuda"] = lambda _: iter([asr.driver()])
    if findings[-1].status == "ok":  # else there is no manifest to ask about models
        asked = _Asked(settings, Registry.load(question.home, question.store))
        if settings.device == "cuda":
            checks["vram"] = lambda _: _memory(asked)
        checks["model"] = lambda _: _model(asked)
    return findings + asr.run(question, checks)


def _environment(question: Question, settings: Settings) -> Iterator[Finding]:
    """Interpreter, lock and records; without an interpreter that is the one finding."""
    remedy = (
        f"make the environment anew from lock/{question.lock}.txt: `./just env llm-cuda` in a"
        " checkout, `glagol bundle apply` of the variant full on a target"
    )
    try:
        python = interpreter(settings, question.home)
    except HostError as error:
        raise HostError(error.code, error.message, f"{remedy}; or set LLM_PYTHON") from error
    numbers, names, changed, files = _probed(python, remedy)
    good = tuple(numbers[:2]) == PYTHON
    found = f"{python}, Python {'.'.join(map(str, numbers))}"
    yield Finding("vllm", "ok" if good else "fail", found, "" if good else remedy)
    installed = {str(canonicalize_name(name)): version for name, version in names.items()}
    count, wrong = lock.differences(question.home / "lock" / f"{question.lock}.txt", installed)
    found = "; ".join(wrong) or f"{count} packages as locked"
    yield Finding("vllm lock", "fail" if wrong else "ok", found, remedy if wrong else "")
    strange = [file for file, digest in changed if _MISRECORDED.get(file) != digest]
    found = "; ".join(strange[:5]) or f"{files} files as their wheels say"
    yield Finding("vllm records", "fail" if strange else "ok", found, remedy if strange else "")


def _probed(python: Path, remedy: str) -> Any:
    command = [str(python), "-I", "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=PROBE_S)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as failed:
        said = (getattr(failed, "stderr", None) or b"").decode(errors="replace").strip()
        text = f"{python} does not answer: {said[-300:] or failed}"
        raise HostError("llm_unavailable", text, remedy) from failed


def _memory(asked: _Asked) -> Iterator[Finding]:
    """The card against the operator's plan; without one, against the model alone."""
    size = _vram_bytes()
    if size is None:
        remedy = "make `nvidia-smi` run here, or compare by hand with `glagol plan-gpu`"
        yield Finding("vram", "warn", "unknown: nvidia-smi does not answer", remedy)
        return
    state, model = asked.settings.state, asked.model()
    policy = PolicyFile(Path(state) / "policy.toml").current() if state else Policy()
    here, planned = size / gpu_plan.GIB, policy.gpu.vram_gib
    if planned > here:
        remedy = f"set vram_gib of [gpu] in policy.toml to at most {int(100 * here) / 100}"
        found = f"{here:.2f} GiB, policy.toml plans with {planned:g} GiB"
        yield Finding("vram", "fail", found, remedy)
        return
    gpu = msgspec.structs.replace(policy.gpu, llm=policy.gpu.llm or model.id)
    plan = gpu_plan.shared(gpu, asked.registry) or gpu_plan.plan(size, None, model)
    longest = "unknown" if plan.context_tokens is None else f"{plan.context_tokens} tokens"
    beside = "as policy.toml plans" if planned else "alone on it"
    yield Finding("vram", "ok", f"{here:.2f} GiB, {model.id} {beside}: context {longest}")


def _vram_bytes() -> int | None:
    """Memory of the first card; None when nvidia-smi does not say."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, check=True, timeout=NVIDIA_SMI_S)
        return int(done.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _model(asked: _Asked) -> Iterator[Finding]:
    what = served(asked.registry, asked.model().id, asked.settings.device)
    opened = asked.registry.open(what.model.id, what.variant.id)
    name = f"model {what.model.id}/{what.variant.id}"
    yield Finding(name, "ok", f"{len(opened.blobs)} artifacts as pinned")
