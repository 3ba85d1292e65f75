"""An actor that opens recordings, cuts them, joins their words and writes results."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from glagol.archive.actors.recogniser import registry_of
from glagol.archive.actors.wire import Cut, Identity, Job, Opened, Written
from glagol.archive.decided import decision_of
from glagol.archive.parts import RECORDINGS_AT, Parts
from glagol.archive.places import Bucket, Folder, is_address, place
from glagol.archive.rows import moved, row_of, transcript_of
from glagol.archive.sources import Source
from glagol.core.errors import InputError
from glagol.core.files import host_error
from glagol.core.version import VERSION
from glagol.registry.registry import Registry
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from glagol.speech.engines.base import Hypothesis
from glagol.speech.engines.families import family_of
from glagol.speech.output.formats import FORMATS, JSON
from glagol.speech.output.provenance import provenance_of
from glagol.speech.pipeline.planned import Cutting, Plan, Window, joined, windows
from glagol.speech.pipeline.speaking import Speakers
from glagol.speech.segmentation.planner import Rule
from glagol.speech.types import SAMPLE_RATE, Array, Transcript
from glagol.speech.vad import families as detectors

__all__ = ["Reader"]

FILES_AT: Final = "files"
"""Folder of the files that are written for each recording, below the target."""


@dataclass(slots=True)
class _Open:
    """A recording in work."""

    source: Source
    file: BinaryIO
    about: Opened
    closing: ExitStack
    cutter: Generator[Window, None, Plan] | None = None
    ahead: Window | None = None
    plan: Plan | None = None
    channels: list[int] = field(default_factory=list)


class Reader:
    """Holds some recordings at a time; its calls may come from several threads.

    Args:
        job: what to do.
        identity: of the recognisers.
        number: of this reader; no other one of the run has it.
    """

    def __init__(self, job: Job, identity: Identity, number: int) -> None:
        registry = registry_of(job)
        self._job = job
        self._known = provenance_of(identity.provenance)
        self._cutting = _cutting(registry, job)
        self._decision = decision_of(self._known, registry, job.options)
        self._target = place(job.target)
        self._parts = Parts(self._target, RECORDINGS_AT, job.generation, number)
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        limits = Limits.for_seconds(job.options.max_audio_s)
        self._jail = Jail(limits, slots=job.slots, tell=_silent)
        self._jail.start()

    def open(self, source: Source) -> Opened:
        """Open a recording, bring it here if it is in a store, and hash it.

        Raises:
            InputError: `audio_not_found`, `audio_empty`.
            HostError, LimitError: it cannot be read or is too large.
        """
        with ExitStack() as stack:
            file, version = self._file(source, stack)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END)
            if not size:
                raise InputError("audio_empty", "the file has no bytes", "record or copy it again")
            about = Opened(digest, size, version)
            self._open[source.name] = _Open(source, file, about, stack.pop_all())
        return about

    def windows(self, name: str, most: int) -> tuple[Cut, list[Array]]:
        """The next windows of a recording: what they are, and samples float32 [n] of each.

        Args:
            name: of the source.
            most: how many at most, from 1.

        Raises:
            InputError, LimitError, HostError: as `glagol.speech.pipeline.planned.windows`.
        """
        work = self._open[name]
        if work.cutter is None:
            options = self._job.options
            sound = self._jail.open(
                work.file,
                max_seconds=options.max_audio_s,
                split=options.channel == "split",
                track=options.track,
            )
            work.cutter = windows(self._cutting, sound, options)
            work.ahead = _next(work)
        found: list[Window] = []
        while work.ahead is not None and len(found) < most:
            found.append(work.ahead)
            work.ahead = _next(work)
        work.channels += [window.channel for window in found]
        seconds = sum(len(window.samples) for window in found) / SAMPLE_RATE
        cut = Cut(tuple(window.channel for window in found), seconds, work.plan is not None)
        return cut, [window.samples for window in found]

    def join(self, name: str, hypotheses: Sequence[Hypothesis]) -> Written:
        """Write the results of a recording.

        Args:
            name: of the source.
            hypotheses: of all its windows, in the order in which `windows` gave them.

        Raises:
            InputError: `audio_changed`, the file is not what it was.
            HostError: `disk_full`, `host_io`.
        """
        work = self._open[name]
        if work.plan is None:
            raise AssertionError("a recording is joined after its last window")
        self._same(work)
        channels: list[list[Hypothesis]] = [[] for _ in work.plan.cuts]
        for channel, found in zip(work.channels, hypotheses, strict=True):
            channels[channel].append(found)
        transcript = joined(
            work.plan,
            channels,
            self._cutting.rule,
            self._job.options,
            self._known,
            work.about.sha256,
        )
        self._render(work.source, transcript)
        decided_by = self._decision.of(transcript.provenance)
        row = row_of(transcript, _as_opened(work), decided_by, self._job.formats, VERSION)
        self.close(name)
        with self._lock:
            parts = self._parts.add(row, transcript.duration_s)
        return Written(transcript.duration_s, len(transcript.warnings), parts)

    def reuse(self, name: str, part: str, path: str) -> Written:
        """Write the results of a recording whose bytes another one had.

        Args:
            name: of the source.
            part: file of the table that has the other one's row.
            path: of the other one.

        Raises:
            IntegrityError: `state_damaged`.
            HostError: `disk_full`, `host_io`.
        """
        work = self._open[name]
        self._same(work)
        row = next(row for row in self._parts.rows(part) if row["path"] == path)
        transcript = transcript_of(row)
        self._render(work.source, transcript)
        row = moved(row, _as_opened(work), row["decided_by"], self._job.formats)
        self.close(name)
        with self._lock:
            parts = self._parts.add(row, transcript.duration_s)
        return Written(0.0, 0, parts)

    def close(self, name: str) -> Written:
        """Let go of a recording."""
        work = self._open.pop(name, None)
        if work is not None:
            if work.cutter is not None:
                work.cutter.close()
            work.closing.close()
        return Written()

    def flush(self) -> Written:
        """Write what waits."""
        with self._lock:
            return Written(parts=self._parts.flush())

    def _file(self, source: Source, stack: ExitStack) -> tuple[Any, str]:
        if is_address(source.name):
            folder, _, last = source.name.rpartition("/")
            file: Any = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            store = place(folder)
            if not isinstance(store, Bucket):
                raise AssertionError("addresses are of buckets")
            return file, store.bring(last, file).version
        try:
            file = stack.enter_context(Path(source.name).open("rb"))  # noqa: SIM115
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise InputError(
                "audio_not_found", f"{error.strerror}", "check the path and the name of the file"
            ) from error
        except OSError as error:
            raise host_error(error, Path(source.name)) from error
        return file, str(os.fstat(file.fileno()).st_mtime_ns)

    def _same(self, work: _Open) -> None:
        """Refuse what changed since it was hashed; what a store gave is a copy of our own."""
        if is_address(work.source.name):
            return
        about = Folder(Path()).look(str(Path(work.source.name).absolute()))
        now = None if about is None else (about.size_bytes, about.version)
        if now != (work.about.size_bytes, work.about.version):
            raise InputError(
                "audio_changed",
                "the file was changed while it was read",
                "run the same command with --resume when it is complete",
            )

    def _render(self, source: Source, transcript: Transcript) -> None:
        for form in self._job.formats:
            row = FORMATS[form]
            data = row.write(transcript) + (b"\n" if form == JSON else b"")
            self._target.write(f"{FILES_AT}/{source.place}{row.extension}", data)


def _cutting(registry: Registry, job: Job) -> Cutting:
    model = registry.model(job.model)
    traits = family_of(model).describe(model)
    return Cutting(
        vad=detectors.load(registry.open(registry.manifest.defaults.vad)),
        rule=Rule.for_window(traits.window_s, overlap=traits.word_times != "none"),
        traits=traits,
        speakers=Speakers(registry),
    )


def _next(work: _Open) -> Window | None:
    """The next window; None when there is none any more, and then the plan is known."""
    if work.cutter is None:
        raise AssertionError("the recording is not being cut")
    try:
        return next(work.cutter)
    except StopIteration as end:
        work.plan = end.value
        return None


def _as_opened(work: _Open) -> Source:
    about = work.about
    return Source(work.source.name, work.source.place, about.size_bytes, about.version)


def _silent(event: str, /, *, warning: bool, **fields: Any) -> None:
    """Events of the jail are not logged here."""
