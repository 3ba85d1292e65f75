"""Start-up shared by server and worker: settings, registry, policy, engine, jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glagol.asr.engine_models import pointed
from glagol.asr.inference.pool import InferencePool, Opened
from glagol.asr.inference.threads import divide, usable
from glagol.asr.inference.warmup import known_answer
from glagol.asr.jobs.service import Jobs, open_jobs
from glagol.asr.settings import Settings
from glagol.core import journal
from glagol.core.errors import HostError, InputError
from glagol.models.gpu_plan import shared
from glagol.registry.registry import Registry, home_of
from glagol.web.serve import policy_file, starting
from glagol.web.tracing import Traces, open_traces

if TYPE_CHECKING:
    from glagol.asr.jobs.workers import JobThreads
    from glagol.speech.audio.jail.pool import Jail
    from glagol.web.access.policy import Policy

__all__ = ["Components", "announce", "assemble", "open_jail", "opener", "traced"]


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of a server or worker process.

    Attributes:
        settings: Settings from the environment.
        registry: Manifest and store.
        default: Id of the model for requests that name none.
        policy: Returns the current policy.toml.
        engine: The inference workers, not started yet.
        jail: Opens recordings in child processes; started.
        jobs: The job queue; None if there is none.
        jobs_off: Why there is no job queue.
    """

    settings: Settings
    registry: Registry
    default: str
    policy: Callable[[], Policy]
    engine: InferencePool
    jail: Jail
    jobs: Jobs | None
    jobs_off: HostError | None

    def job_threads(self) -> JobThreads | None:
        """The threads that run jobs of the queue, not started yet; None without jobs."""
        from glagol.asr.jobs.workers import JobThreads

        if self.jobs is None:
            return None
        return JobThreads(self.jobs, self.engine, self.jail, self.settings)


def assemble(environment: Mapping[str, str]) -> Components:
    """Make the parts of a process from its environment.

    Args:
        environment: `ASR_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.

    Raises:
        InputError: `setting_invalid`; `option_invalid`, the model has no such variant.
        IntegrityError: The manifest is missing or not valid; `artifact_unpinned`, the model was
            never built, so no request could be served.
        HostError: `vram_too_small`, the plan has no room for the recogniser.
    """
    settings = Settings.from_environment(environment)
    home = home_of(environment)
    registry = Registry.of(settings, environment)
    registry = pointed(registry, settings.default_models)
    journal.configure(settings.log_level)
    default = _default_model(settings, registry)
    registry.variant(registry.model(default), settings.variant or None)
    policy = policy_file(settings.state)
    engine = InferencePool(
        default,
        opener(settings, registry, home, _memory_bytes(settings, registry, policy())),
        queue_size=settings.queue_size,
        clock=time.perf_counter,
        workers=divide(settings.threads, usable(), settings.device)[1],
    )
    jail = open_jail(settings)
    jobs, jobs_off = None, None
    try:
        jobs = open_jobs(settings, policy)
    except HostError as error:
        jobs_off = error
    return Components(settings, registry, default, policy, engine, jail, jobs, jobs_off)


def open_jail(settings: Settings) -> Jail:
    """Start the child processes that open recordings; they get ready while the model loads."""
    from glagol.speech.audio.jail.limits import Limits
    from glagol.speech.audio.jail.pool import Jail

    def tell(event: str, /, *, warning: bool, **fields: Any) -> None:
        journal.write(event, level=logging.WARNING if warning else logging.INFO, **fields)

    limits = Limits.for_seconds(settings.max_audio_s)
    jail = Jail(limits, slots=settings.jail_slots, tell=tell)
    jail.start()
    return jail


def _memory_bytes(settings: Settings, registry: Registry, policy: Policy) -> int:
    """GPU memory that the policy gives the recogniser on a shared card; 0 means no limit."""
    card = shared(policy.gpu, registry) if settings.device == "cuda" else None
    return card.arena_bytes if card else 0


def opener(settings: Settings, registry: Registry, home: Path, memory_bytes: int = 0) -> Any:
    """Make the function that opens a model: verify, load, check the known answer."""

    def open_model(model_id: str) -> Opened:
        from glagol.runtime.options import Runtime
        from glagol.speech.pipeline.recognizer import Recognizer

        model = registry.model(model_id)
        recognizer = Recognizer.open(
            registry,
            model=model.id,
            variant=settings.variant or None,
            runtime=Runtime(
                device=settings.device,
                threads=divide(settings.threads, usable(), settings.device)[0],
                memory_bytes=memory_bytes,
                kernels=settings.kernels == "on",
            ),
        )
        answer = known_answer(recognizer, model, home)
        ran = recognizer.provenance.variant
        if settings.variant and ran != settings.variant:
            journal.write(
                "another variant is open: this processor computes int8 inexactly",
                level=logging.WARNING,
                model=model.id,
                asked=settings.variant,
                opened=ran,
            )
        return Opened(recognizer, {"known_answer": answer, "provenance": recognizer.provenance})

    return open_model


@contextmanager
def traced(found: Components, service: str) -> Iterator[Traces | None]:
    """Open traces under the name of `service`, if they are on; send the rest at the end."""
    traces = open_traces(service)
    if found.jobs is not None:
        found.jobs.traces = traces
    try:
        yield traces
    finally:
        if traces is not None:
            traces.close()


def announce(found: Components) -> None:
    """Log what starts, with warnings about the configuration."""
    starting(
        found.settings,
        model=found.default,
        manifest_version=found.registry.manifest.manifest_version,
        manifest_sha256=found.registry.manifest_sha256,
    )
    if found.jobs_off is not None:
        journal.error("no jobs", found.jobs_off, level=logging.WARNING)


def _default_model(settings: Settings, registry: Registry) -> str:
    name = settings.model_name or registry.manifest.defaults.asr
    try:
        return registry.model(name).id
    except InputError as error:
        raise InputError(
            "setting_invalid", f"ASR_MODEL_NAME={name!r}: {error.message}", error.remedy
        ) from error
