"""Plan a bundle's content: a pure function of manifest, locks and tracked files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from glagol.bundle.errors import error
from glagol.bundle.pack.index import Acceptance, Release, Requires
from glagol.registry.manifest.rules import PACKAGE, role_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.manifest.types import Artifact, Manifest, Model, Variant

PYTHONS = ("3.11",)  # versions of Python whose wheels a bundle contains by default
LOCKS = {"cpu": "asr-cpu", "cuda": "asr-cuda", "full": "asr-cuda"}
LLM_LOCKS = {"full": "llm-cuda"}  # locks of the second environment, that of the language model
# Providers of the models in a bundle, by its variant: a CUDA machine can fall back to CPU builds.
_BOTH = frozenset({"cpu", "cuda"})
PROVIDERS = {"cpu": frozenset({"cpu"}), "cuda": _BOTH, "full": _BOTH}
NAME_BYTES_MAX = 100  # bytes of the last part of a path in a ustar archive
OWN = "packages/bundle/src/glagol/bundle"
_TRACKED = re.compile(
    r"packages/[^/]+/src/.+|build/(?:seal\.py|find-python)|pyproject\.toml"
    r"|manifest\.json|manifest\.schema\.json"
    r"|(README|RUNBOOK|CHANGELOG|ARCHITECTURE|LICENSE|LICENCE|NOTICE)[^/]*"
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One row of a wheel plan: the file of a locked release, and the Pythons that install it."""

    name: str
    version: str
    file: str
    sha256: str
    pythons: tuple[str, ...] = PYTHONS


@dataclass(frozen=True, slots=True)
class Tracked:
    """Take a file from the checkout's commit."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class TakeWheel:
    """Take a wheel from the wheel folders."""

    wheel: Wheel
    path: str


@dataclass(frozen=True, slots=True)
class TakeBlob:
    """Take a model file from the store."""

    artifact: Artifact
    model_id: str
    path: str


Step: TypeAlias = Tracked | TakeWheel | TakeBlob


@dataclass(frozen=True, slots=True)
class Inputs:
    """All inputs of a plan.

    Attributes:
        version: version of the code.
        manifest: the models.
        tracked: paths in the commit.
        lock: text of the variant's hash lock.
        tools: text of the lock of tools.
        wheels: wheel plan of the variant's lock.
        tool_wheels: wheel plan of the lock of tools.
        system: such as `x86_64-linux`.
        variant: a key of `LOCKS`.
        models: ids of the models to include. Empty means all that have artifacts for the variant,
            except models whose sources are in a package index and language models; the manifest's
            default language model is included if the variant has an environment for it.
        also: ids of models to include beside the default ones, when `models` is empty.
        llm_lock: text of the hash lock of the language model's environment; empty if there is none.
        llm_wheels: wheel plan of that lock.
        pythons: versions of Python, such as `3.11`, whose wheels are included; at least one.
    """

    version: str
    manifest: Manifest
    tracked: frozenset[str]
    lock: str
    tools: str
    wheels: tuple[Wheel, ...]
    tool_wheels: tuple[Wheel, ...]
    system: str
    variant: str
    models: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    llm_lock: str = ""
    llm_wheels: tuple[Wheel, ...] = ()
    pythons: tuple[str, ...] = PYTHONS


@dataclass(frozen=True, slots=True)
class Plan:
    """A bundle as a list of files, before their bytes are read.

    Attributes:
        release: what names the release.
        requires: what a target must have.
        acceptance: the clip that an installed release must transcribe.
        steps: every file except those that packing makes, sorted by path.
        models: pairs of a model and its included variants.
        left_out: pairs of a model's id and the reason why it is not included.
        shared: paths of the wheels that both environments install.
    """

    release: Release
    requires: Requires
    acceptance: Acceptance
    steps: tuple[Step, ...]
    models: tuple[tuple[Model, tuple[Variant, ...]], ...]
    left_out: tuple[tuple[str, str], ...]
    shared: frozenset[str] = frozenset()

    @property
    def lock(self) -> str:
        """Path of the lock that the environment is made from."""
        return f"src/lock/{LOCKS[self.release.variant]}.txt"

    @property
    def llm_lock(self) -> str:
        """Path of the lock of the language model's environment; empty when there is none."""
        name = LLM_LOCKS.get(self.release.variant)
        return f"src/lock/{name}.txt" if name else ""

    @property
    def wheels(self) -> tuple[TakeWheel, ...]:
        """The steps that take wheels."""
        return tuple(step for step in self.steps if isinstance(step, TakeWheel))

    @property
    def uv(self) -> str:
        """Path of the wheel of uv."""
        return next(step.path for step in self.wheels if step.wheel.name == "uv")


def plan(inputs: Inputs) -> Plan:
    """Decide what goes into a bundle.

    Args:
        inputs: manifest, locks, wheel plans, tracked paths and options.

    Returns:
        The plan; equal inputs give equal plans.

    Raises:
        InputError: `bundle_source`, a file that the bundle needs is not in the commit, a model has
            no artifacts, or the wheel plans do not fit; `option_invalid`, there are no wheels for
            a requested Python.
        IntegrityError: `bundle_altered`, a wheel plan names a digest that its lock does not.
    """
    inputs = _for_pythons(inputs)
    uv = tuple(wheel for wheel in inputs.tool_wheels if wheel.name == "uv")
    if len(uv) != 1:
        raise _source("the wheel plan of the tools names no uv")
    locks = (inputs.lock, inputs.wheels), (inputs.tools, uv), (inputs.llm_lock, inputs.llm_wheels)
    steps: dict[str, Step] = {step.path: step for step in _wheels(locks)}
    models, left_out = _models(inputs)
    for model, variants in models:
        for artifact in (a for variant in variants for a in variant.artifacts):
            path = f"store/sha256/{artifact.sha256[:2]}/{artifact.sha256[2:]}"
            steps[path] = TakeBlob(artifact, model.id, path)
    for source in _selected(inputs, tuple(model for model, _ in models)):
        steps[f"src/{source}"] = Tracked(source, f"src/{source}")
    for name in ("install.sh", "verify.py"):
        steps[name] = Tracked(f"{OWN}/{name}", name)
    for step in steps.values():
        if isinstance(step, Tracked) and step.source not in inputs.tracked:
            raise _source(f"{step.source} is not in the commit")
    return Plan(
        release=Release(inputs.version, inputs.manifest.manifest_version, inputs.variant),
        requires=Requires(
            inputs.system, glibc(inputs.wheels + inputs.llm_wheels), ",".join(inputs.pythons)
        ),
        acceptance=_acceptance(inputs, frozenset(model.id for model, _ in models)),
        steps=tuple(steps[path] for path in sorted(steps)),
        models=models,
        left_out=left_out,
        shared=frozenset(map(place_of, {*inputs.wheels} & {*inputs.llm_wheels})),
    )


def _for_pythons(inputs: Inputs) -> Inputs:
    """The inputs with only those wheels that the requested Pythons install."""
    plans = inputs.wheels, *((inputs.llm_wheels,) if inputs.llm_wheels else ())
    for python in inputs.pythons:
        if not all(any(python in wheel.pythons for wheel in wheels) for wheels in plans):
            raise error(
                "option_invalid",
                f"there are no wheels of {inputs.variant} for Python {python}",
                "choose among those that the wheel plans in lock/ name under pythons",
            )

    def fitting(wheels: tuple[Wheel, ...]) -> tuple[Wheel, ...]:
        return tuple(wheel for wheel in wheels if {*wheel.pythons} & {*inputs.pythons})

    return replace(inputs, wheels=fitting(inputs.wheels), llm_wheels=fitting(inputs.llm_wheels))


def _wheels(locks: tuple[tuple[str, tuple[Wheel, ...]], ...]) -> list[TakeWheel]:
    """The wheels of all locks; equal files are shared, different files of one name are refused."""
    found: dict[str, TakeWheel] = {}
    for text, wheels in locks:
        for wheel in wheels:
            if f"sha256:{wheel.sha256}" not in text:
                raise error(
                    "bundle_altered",
                    f"the lock does not list the digest that the wheel plan has for {wheel.file}",
                    "run ./just lock and review the difference",
                )
            step = found.setdefault(place_of(wheel), TakeWheel(wheel, place_of(wheel)))
            if step.wheel.sha256 != wheel.sha256:
                raise _source(f"two locks name different files {wheel.file}")
    return list(found.values())


def glibc(wheels: tuple[Wheel, ...]) -> str:
    """The oldest glibc on which all wheels run, by their manylinux tags; "2.5" without any tag."""
    needed = [(2, 5)]
    for wheel in wheels:
        versions = [version for tag in _platforms(wheel.file) if (version := _glibc_of(tag))]
        needed += [min(versions)] if versions else []
    return ".".join(map(str, max(needed)))


def place_of(wheel: Wheel) -> str:
    """Path of a wheel in the bundle.

    A name in a tar has at most 100 bytes. A wheel with a longer name, which lists several platform
    tags, gets a name with only the tag of the oldest glibc. Its bytes do not change.
    """
    file = wheel.file
    if len(file.encode()) > NAME_BYTES_MAX:
        head = file.removesuffix(".whl").rpartition("-")[0]
        file = (
            f"{head}-{min(_platforms(file), key=lambda tag: (_glibc_of(tag) or (0, 0), tag))}.whl"
        )
    return f"wheels/{file}"


def _platforms(file: str) -> list[str]:
    """The platform tags in a wheel's name (PEP 425)."""
    return file.removesuffix(".whl").rpartition("-")[2].split(".")


def _glibc_of(tag: str) -> tuple[int, int] | None:
    """The glibc version that a platform tag requires, if any (PEP 513, 571, 599, 600)."""
    old = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    if found := re.match(r"manylinux_(\d+)_(\d+)_", tag):
        return int(found[1]), int(found[2])
    return old.get(tag.partition("_")[0])


def _models(
    inputs: Inputs,
) -> tuple[tuple[tuple[Model, tuple[Variant, ...]], ...], tuple[tuple[str, str], ...]]:
    carried: list[tuple[Model, tuple[Variant, ...]]] = []
    left_out: list[tuple[str, str]] = []
    default_llm = inputs.manifest.defaults.llm if inputs.variant in LLM_LOCKS else None
    named = {*inputs.models, *inputs.also}
    unknown = named - {model.id for model in inputs.manifest.models}
    if unknown:
        raise _source(f"the manifest has no model {', '.join(sorted(unknown))}")
    for model in sorted(inputs.manifest.models, key=lambda model: model.id):
        built = tuple(v for v in model.variants if v.artifacts)
        fitting = tuple(v for v in built if v.provider in PROVIDERS[inputs.variant])
        if inputs.models and model.id not in named:
            left_out.append((model.id, "not requested"))
        elif role_of(model) == "llm" and model.id not in {default_llm, *named}:
            left_out.append((model.id, "a language model is included only when requested by id"))
        elif _is_packaged(model) and model.id not in named:
            left_out.append((model.id, "a model of a package index is included when requested"))
        elif fitting:
            carried.append((model, fitting))
        elif model.id in named:
            raise _source(f"{model.id} has no artifacts for {inputs.variant} in the manifest")
        else:
            left_out.append(
                (model.id, model.unpinned or f"no build for the variant {inputs.variant}")
            )
    return tuple(carried), tuple(left_out)


def _is_packaged(model: Model) -> bool:
    """Whether the model's sources come from a package index, so that it is large and optional."""
    return any(url.startswith(PACKAGE) for file in model.source.files for url in file.urls)


def _acceptance(inputs: Inputs, carried: frozenset[str]) -> Acceptance:
    """The clip of the default model, or of the first included model that has a clip."""
    default = inputs.manifest.defaults.asr
    for model in sorted(inputs.manifest.models, key=lambda model: (model.id != default, model.id)):
        if model.id in carried and model.golden is not None:
            return Acceptance(
                model.id, f"src/{model.golden.audio}", f"src/{model.golden.transcript}"
            )
    raise _source("no carried model has a golden clip, so no release could be accepted")


def _selected(inputs: Inputs, models: tuple[Model, ...]) -> list[str]:
    needed = {"pyproject.toml", "manifest.json", "build/seal.py", "build/find-python"}
    for locks in (LOCKS, LLM_LOCKS, {inputs.variant: "tools"}):
        if lock := locks.get(inputs.variant):
            needed |= {f"lock/{lock}.txt", f"lock/{lock}.{inputs.system}.json"}
    for model in models:
        if model.golden:
            needed |= {model.golden.audio, model.golden.transcript}
        # Artifacts are built from the source weights; a target needs only the artifacts.
        needed |= {
            path
            for path in inputs.tracked
            if path.startswith(f"models/{model.id}/") and not path.endswith(".safetensors")
        }
    needed |= {path for path in inputs.tracked if _TRACKED.fullmatch(path)}
    return sorted(needed)


def wheel_rows(rows: list[Mapping[str, Any]]) -> tuple[Wheel, ...]:
    """Make a wheel plan of the rows of lock/NAME.SYSTEM.json; rows of old plans name no Pythons."""
    return tuple(
        Wheel(r["name"], r["version"], r["file"], r["sha256"], tuple(r.get("pythons", PYTHONS)))
        for r in rows
    )


def _source(message: str) -> Exception:
    return error("bundle_source", message, "commit what is missing, or choose other models")
