"""Checks of a machine before it serves: ``glagol env-check``.

Each check is a function from a `Question` (the requirements) to `Finding`s. A failed finding has
one remedy. No check changes the machine or fetches anything.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import importlib.metadata
import platform
import shutil
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from packaging.utils import canonicalize_name

from glagol.cli.env_checks import lock, wsl
from glagol.cli.home import packaged_home
from glagol.core.errors import GlagolError
from glagol.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))  # what the locks have wheels for
GLIBC_MIN = (2, 28)  # the manylinux tag of the wheels in a lock; others:
GLIBC_MINS = {"llm-cuda": (2, 31)}
FREE_BYTES_MIN = 2 << 30
CLOCK_MIN_S = 1_767_225_600  # 2026-01-01: older than this release, so the clock must be wrong
CUDA_MIN = 13_000  # as cuDriverGetVersion counts: 1000 * major + 10 * minor
NO_DRIVER = "libcuda.so.1 not found"
INT8_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni")
AMX_FLAGS = {"amx_tile", "amx_bf16", "amx_int8"}

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: which home, which lock, and whether a GPU must be there.

    Attributes:
        home: folder that holds ``manifest.json`` and ``lock/``.
        store: artifact store.
        lock: name of the lock the environment must equal, e.g. ``asr-cpu``.
        device: ``cpu``, or ``cuda`` when a GPU variant will be served.
        models: ids whose artifacts must be whole; empty: the manifest's defaults.
    """

    home: Path
    store: Path | None
    lock: str
    device: Literal["cpu", "cuda"]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is empty unless the status is ``warn`` or ``fail``."""

    check: str
    status: Status
    found: str
    remedy: str = ""


Check: TypeAlias = "Callable[[Question], Iterator[Finding]]"


def run(question: Question, checks: Mapping[str, Check] | None = None) -> list[Finding]:
    """Every finding, in the order of `checks`; a check that breaks is itself a failure.

    Args:
        question: what is asked.
        checks: by name; None means `CHECKS`.
    """
    findings: list[Finding] = []
    for name, check in (CHECKS if checks is None else checks).items():
        try:
            findings += check(question)
        except GlagolError as error:
            findings.append(Finding(name, "fail", error.message, error.remedy))
        except OSError as error:
            findings.append(Finding(name, "fail", str(error), "see the message of the system"))
    return findings


def _python(_: Question) -> Iterator[Finding]:
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    good = sys.version_info[:2] in PYTHONS and not free
    found = platform.python_version() + (" free-threaded" if free else "")
    remedy = "" if good else "use CPython 3.11, 3.12, 3.13 or 3.14: the locks pin wheels for them"
    yield Finding("python", "ok" if good else "fail", found, remedy)


def _glibc(question: Question) -> Iterator[Finding]:
    name, version = platform.libc_ver()
    parts = tuple(int(p) for p in version.split(".")[:2]) if version else (0, 0)
    least = GLIBC_MINS.get(question.lock, GLIBC_MIN)
    good = name == "glibc" and parts >= least
    needed = ".".join(map(str, least))
    remedy = "" if good else f"take a system with glibc {needed} or newer: the wheels need it"
    yield Finding("libc", "ok" if good else "fail", f"{name or 'unknown'} {version}", remedy)


def _clock(_: Question) -> Iterator[Finding]:
    now = time.time()
    good = now >= CLOCK_MIN_S
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    remedy = "" if good else "set the clock: it is earlier than this release (certificates fail)"
    yield Finding("clock", "ok" if good else "fail", found, remedy)


def _disk(question: Question) -> Iterator[Finding]:
    place = question.store or question.home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    good = free >= FREE_BYTES_MIN
    remedy = "" if good else f"free at least {FREE_BYTES_MIN >> 30} GiB for models and uploads"
    yield Finding("disk", "ok" if good else "warn", f"{free / (1 << 30):.1f} GiB free", remedy)


def _wsl(question: Question) -> Iterator[Finding]:
    """Lines for Windows Subsystem for Linux; none elsewhere."""
    store = question.store or question.home / "store"
    yield from (Finding(*fact) for fact in wsl.facts(wsl.kernel(), store.absolute()))


def _cpu(_: Question) -> Iterator[Finding]:
    from glagol.runtime.kernels.choice import multiplies_int8

    flags = _flags()
    fast = [flag for flag in INT8_FLAGS if flag in flags]
    if fast or platform.machine() != "x86_64":
        yield Finding("cpu", "ok", f"{platform.machine()} {' '.join(fast)}".strip())
    elif multiplies_int8():
        words = "no VNNI: our library multiplies int8"
        yield Finding("cpu", "ok", f"{platform.machine()}, {words}")
    else:
        yield Finding(
            "cpu", "warn", f"{platform.machine()}, no VNNI or AMX", "prefer the variant cpu-fp32"
        )


def _flags() -> set[str]:
    """What Linux says that the processor has; empty on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return set()
    lines = (line for line in path.read_text().splitlines() if line.startswith("flags"))
    return set(next(lines, "").partition(":")[2].split())


def _matrix_unit(question: Question) -> Iterator[Finding]:
    """Which kernels would compute products here; without AMX those of ONNX Runtime."""
    from glagol.runtime.kernels import amx

    library = f"library sha256 {amx.sha256_of(amx.library_file())}"
    why = "CUDA computes the products" if question.device == "cuda" else amx.obstacle()
    if not why:
        yield Finding("matrix unit", "ok", f"in use, {library}")
        return
    able, remedy = question.device == "cpu" and _flags() >= AMX_FLAGS, ""
    if why == amx.REFUSED and able:
        why = "the processor has AMX, but the kernel keeps it from this process"
        remedy = "let processes use AMX (Linux 5.16 or newer)"
    elif why == amx.REFUSED:
        why = "the processor has no AMX"
    elif able:
        remedy = "install this release again, on a disk whose libraries may be loaded"
    yield Finding(
        "matrix unit", "warn" if remedy else "ok", f"not in use: {why}; {library}", remedy
    )


def _jail(_: Question) -> Iterator[Finding]:
    """Whether a process that opens a stranger's recording could do anything else."""
    from glagol.speech.audio.jail.pool import Jail

    jail = Jail(slots=1, tell=_silent)
    jail.start()
    try:
        held, tried = jail.escapes()
    finally:
        jail.close()
    parts = {
        f"landlock {held.landlock}": held.landlock > 0,
        "seccomp": held.seccomp,
        "rlimits": held.rlimits,
    }
    force = ", ".join(name for name, there in parts.items() if there) or "nothing"
    able = ", ".join(name for name, number in tried.items() if number == 0)
    remedy = "let the service use seccomp and Landlock (Linux 5.13): its container refuses them"
    found = f"{force} in force; a decoder can {able or 'do nothing else'}"
    yield Finding("media jail", "warn" if able else "ok", found, remedy if able else "")


def _silent(_: str, /, **__: object) -> None:
    """The findings say what there is to say."""


def _lock(question: Question) -> Iterator[Finding]:
    path = question.home / "lock" / f"{question.lock}.txt"
    count, wrong = lock.departures(path)
    if packaged_home() is None:
        remedy = f"make the environment again from lock/{question.lock}.txt"
    else:
        remedy = "install the command again: uv tool install, pipx install or pip install, alone"
    text = "; ".join(wrong) or f"{count} packages as locked"
    yield Finding("lock", "fail" if wrong else "ok", text, remedy if wrong else "")


def _records(question: Question) -> Iterator[Finding]:
    """Every installed file against the sha256 that its wheel's RECORD gives."""
    names = dict(lock.pins(question.home / "lock" / f"{question.lock}.txt"))
    changed, count = [], 0
    for distribution in importlib.metadata.distributions():
        if canonicalize_name(distribution.name) not in names:
            continue
        for file in distribution.files or []:
            if file.hash is None or file.hash.mode != "sha256":
                continue
            count += 1
            path = Path(str(distribution.locate_file(file)))
            if not path.is_file() or _record_digest(path) != file.hash.value:
                changed.append(f"{distribution.name}: {file}")
    remedy = f"make the environment again from lock/{question.lock}.txt" if changed else ""
    found = "; ".join(changed[:5]) or f"{count} files as their wheels say"
    yield Finding("records", "fail" if changed else "ok", found, remedy)


def _record_digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _providers(question: Question) -> Iterator[Finding]:
    from glagol.runtime.ort import onnxruntime

    found = onnxruntime.get_available_providers()
    wanted = "CUDAExecutionProvider" if question.device == "cuda" else "CPUExecutionProvider"
    good = wanted in found
    remedy = "" if good else "use the environment of lock/asr-cuda.txt for --device cuda"
    text = f"onnxruntime {onnxruntime.__version__}: {', '.join(found)}"
    yield Finding("onnxruntime", "ok" if good else "fail", text, remedy)


def _cuda(question: Question) -> Iterator[Finding]:
    if question.device != "cuda":
        return
    found = driver()
    yield found
    if found.found == NO_DRIVER:
        return
    for name in ("nvidia-cuda-runtime", "nvidia-cudnn-cu13"):
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            remedy = "make the environment of lock/asr-cuda.txt"
            yield Finding(name, "fail", "absent", remedy)


def driver() -> Finding:
    """Whether the NVIDIA driver is there, starts, and is new enough."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        remedy = wsl.DRIVER_REMEDY if wsl.inside(wsl.kernel()) else "install the NVIDIA driver"
        return Finding("cuda driver", "fail", NO_DRIVER, remedy)
    version = ctypes.c_int(0)
    status = library.cuInit(0) or library.cuDriverGetVersion(ctypes.byref(version))
    good = status == 0 and version.value >= CUDA_MIN
    found = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}, status {status}"
    remedy = "" if good else "update the NVIDIA driver to one that supports CUDA 13"
    return Finding("cuda driver", "ok" if good else "fail", found, remedy)


def _manifest(question: Question) -> Iterator[Finding]:
    registry = Registry.load(question.home, question.store)
    version = registry.manifest.manifest_version
    yield Finding("manifest", "ok", f"version {version}, sha256 {registry.manifest_sha256}")


def _artifacts(question: Question) -> Iterator[Finding]:
    registry = Registry.load(question.home, question.store)
    defaults = registry.manifest.defaults
    for model_id in question.models or (defaults.asr, defaults.vad):
        model = registry.model(model_id)
        for variant in model.variants:
            if not variant.id.startswith("cpu" if question.device == "cpu" else "cuda"):
                continue
            name = f"model {model.id}/{variant.id}"
            try:
                opened = registry.open(model.id, variant.id)
            except GlagolError as error:
                yield Finding(name, "fail", error.message, error.remedy)
            else:
                yield Finding(name, "ok", f"{len(opened.blobs)} artifacts as pinned")


CHECKS: dict[str, Check] = {
    "python": _python,
    "libc": _glibc,
    "clock": _clock,
    "disk": _disk,
    "wsl": _wsl,
    "cpu": _cpu,
    "matrix unit": _matrix_unit,
    "media jail": _jail,
    "lock": _lock,
    "records": _records,
    "onnxruntime": _providers,
    "cuda": _cuda,
    "manifest": _manifest,
    "artifacts": _artifacts,
}
