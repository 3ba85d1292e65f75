"""An actor that recognises windows: one open model, and the decodings that are not over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from glagol.archive.actors.wire import Identity, Job, Recognised
from glagol.core.version import VERSION
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.engines.base import Decoding, Request
from glagol.speech.pipeline.options import request_of
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Array

__all__ = ["Recogniser", "registry_of"]


def registry_of(job: Job) -> Registry:
    """The registry that a run's models come from.

    Raises:
        InputError, IntegrityError: as `Registry.load`.
    """
    return Registry.load(Path(job.home), Path(job.store) if job.store else None)


class Recogniser:
    """Recognises windows; used by one thread.

    Args:
        job: what to open.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._recognizer = Recognizer.open(
            registry_of(job),
            model=job.model,
            variant=job.variant or None,
            runtime=Runtime(device=job.device, threads=job.threads),
        )
        self._decodings: dict[str, Decoding] = {}

    def identity(self) -> Identity:
        """What it is."""
        first = self._recognizer.engine.begin(request_of(self._job.options))
        return Identity(VERSION, asdict(self._recognizer.provenance), first.independent)

    def recognise(
        self, samples: Sequence[Array], request: Request | None, session: str
    ) -> Recognised:
        """Recognise windows, in order.

        Args:
            samples: of each window, float32 [n].
            request: under which windows are independent; None while they are not.
            session: name of the channel whose earlier windows these depend on, without `request`.
        """
        engine = self._recognizer.engine
        if request is not None:
            found = tuple(engine.begin(request).transcribe(window) for window in samples)
            return Recognised(found, request)
        if session not in self._decodings:
            self._decodings[session] = engine.begin(request_of(self._job.options))
        decoding = self._decodings[session]
        found = tuple(decoding.transcribe(window) for window in samples)
        if decoding.independent is not None:
            self.forget(session)
        return Recognised(found, decoding.independent)

    def forget(self, session: str) -> None:
        """Let go of a channel's state."""
        self._decodings.pop(session, None)
