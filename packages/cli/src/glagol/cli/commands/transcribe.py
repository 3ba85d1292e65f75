"""`glagol transcribe`: files in, transcripts out, one bad file never in the way of the others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import click

from glagol.cli import output, report
from glagol.cli.batch.asked import DEFAULT, DEFAULT_FILE, Forms, asked
from glagol.cli.batch.inputs import STDIN
from glagol.cli.batch.targets import Job
from glagol.cli.batch.work import Tally, carried_out
from glagol.cli.commands.summarize import ask, llm_options, rendered
from glagol.cli.options import (
    home_option,
    phrase_options,
    phrases_of,
    search_options,
    speaker_options,
    writing_options,
)
from glagol.cli.progress import Bars
from glagol.core.errors import EXIT_INTERRUPTED, GlagolError, HostError, InputError
from glagol.core.files import write_atomic
from glagol.models.home import load
from glagol.speech.language import AUTO
from glagol.speech.output.formats import FORMATS, JSON, as_data

if TYPE_CHECKING:
    from glagol.speech.pipeline.recognizer import Recognizer
    from glagol.speech.types import Options, Transcript

__all__ = ["transcribe"]

MEMORY_BYTES: Final = 1 << 20
_WORDING: Final = ("task", "window", "prompt", "numbers", "redact")
_EXTENSIONS: Final = ", ".join(dict.fromkeys(row.extension for row in FORMATS.values()))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of the command does.

    Attributes:
        jobs: Recordings, each with the files that its results go to.
        forms: Names of the results' formats.
        options: What to do with each recording.
        times: Whether paragraphs begin with their time, where a format leaves the choice.
        llm: Address and key of llm-server when summaries are wanted.
    """

    jobs: tuple[Job, ...]
    forms: tuple[str, ...]
    options: Options
    times: bool = False
    llm: tuple[str, str] | None = None

    @property
    def shown(self) -> bool:
        """Whether results go to standard output."""
        return not any(job.targets for job in self.jobs)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-m", "--model", help="Model id or alias; the manifest's default otherwise.")
@click.option("--variant", help="Variant id such as cpu-int8.")
@click.option(
    "-f",
    "--format",
    "given",
    type=Forms(),
    multiple=True,
    help=f"One or several; {DEFAULT} on standard output, {DEFAULT_FILE} in files otherwise.",
)
@click.option(
    "-o",
    "--output",
    "place",
    type=click.Path(path_type=Path),
    help=f"Folder of the results, NAME{_EXTENSIONS}; for one FILE also the result's own name.",
)
@click.option(
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="As -o, and always a folder.",
)
@click.option("-r", "--recursive", is_flag=True, help="Search the folders below a folder as well.")
@click.option("--skip-existing", is_flag=True, help="Leave out what has its results already.")
@click.option("--force", is_flag=True, help="Write results anew that exist.")
@click.option(
    "--timestamps", is_flag=True, help="Begin paragraphs of txt, md, docx, html with a time."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors alone, not what was written.")
@click.option(
    "--channel",
    type=click.Choice(["mix", "split"]),
    default="mix",
    show_default=True,
    help="split: each channel alone; its number names the speaker.",
)
@click.option(
    "--track", type=click.IntRange(0, 99), help="Audio track; the default one if not given."
)
@click.option(
    "--strict", is_flag=True, help="Refuse a recording that lacks something instead of warning."
)
@click.option(
    "--language",
    default=AUTO,
    show_default=True,
    help="BCP 47 tag or English name; auto: the model detects it, or takes its first.",
)
@speaker_options
@writing_options
@search_options
@phrase_options
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=0,
    help="CPU threads of one inference; 0: one for each physical core.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Files at a time."
)
@click.option("--summarize", is_flag=True, help="Add a summary by llm-server; text and json.")
@llm_options
@home_option
def transcribe(
    files: tuple[str, ...],
    model: str | None,
    variant: str | None,
    channel: Literal["mix", "split"],
    track: int | None,
    strict: bool,
    diarize: bool,
    num_speakers: int | None,
    min_speakers: int | None,
    max_speakers: int | None,
    language: str,
    device: str,
    threads: int,
    jobs: int,
    summarize: bool,
    timestamps: bool,
    quiet: bool,
    llm_url: str,
    llm_key: str,
    home: Path,
    **where: Any,
) -> int:
    """Transcribe audio FILEs, folders of them and patterns; - reads standard input.

    Without -o results go to standard output: several texts are prefixed by their file's name,
    several JSON results are lines of {"file", "data"}.
    """
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Options

    phrases = phrases_of(where.pop("phrases"), where.pop("phrase"))
    people = Bounds.asked(
        diarize=diarize, number=num_speakers, least=min_speakers, most=max_speakers
    )
    options = Options(
        language,
        channel=channel,
        track=track,
        strict=strict,
        speakers=people,
        phrases=phrases,
        **{name: where.pop(name) for name in _WORDING},
    )
    found, forms = asked(files, **where)
    batch = Batch(found, forms, options, timestamps, (llm_url, llm_key) if summarize else None)
    _check(batch)
    if batch.jobs and all(job.done for job in batch.jobs):
        report.note(f"all {len(batch.jobs)} recordings have their results: nothing to do")
        return 0
    from glagol.runtime.options import Runtime
    from glagol.speech.engines.families import family_of
    from glagol.speech.pipeline.options import granted
    from glagol.speech.pipeline.recognizer import Recognizer

    registry = load(home)
    entry = registry.model(model or registry.manifest.defaults.asr)
    granted(batch.options, entry.id, family_of(entry).describe(entry))
    recognizer = Recognizer.open(
        registry,
        model=entry.id,
        variant=variant,
        runtime=Runtime(device=device, threads=_threads(threads, jobs)),
    )
    if people is not None:
        recognizer.speakers.model()  # says that it is not here before any file is read
    with Bars(sys.stderr) as bars:
        return _run(batch, recognizer, jobs, bars, quiet=quiet)


def _threads(asked: int, jobs: int) -> int:
    """Threads of one inference; 0 is one for each physical core."""
    return asked if asked or jobs == 1 else max(1, len(os.sched_getaffinity(0)) // jobs)


def _check(batch: Batch) -> None:
    """Refuse what cannot end well before a model is opened."""
    if batch.shown and len(batch.forms) > 1:
        raise InputError(
            "option_invalid",
            "several formats cannot share standard output",
            "give -o with a folder, or one format",
        )
    form = batch.forms[0]
    if batch.shown and len(batch.jobs) > 1 and not FORMATS[form].joinable:
        raise InputError(
            "option_invalid",
            f"several {form} files cannot share standard output",
            "give -o with a folder, or one FILE at a time",
        )
    named = batch.options.speakers is not None or batch.options.channel == "split"
    if "rttm" in batch.forms and not named:
        raise InputError("option_invalid", "rttm says who speaks when", "add --diarize")
    for form in batch.forms:
        if batch.llm and not FORMATS[form].joinable:
            raise InputError(
                "option_invalid",
                f"{form} has no place for a summary",
                "use --format text or json, or `glagol summarize` on a JSON transcript",
            )
        if batch.times and FORMATS[form].write_timed is None:
            timed = ", ".join(row.name for row in FORMATS.values() if row.write_timed)
            raise InputError(
                "option_invalid",
                f"{form} takes no --timestamps",
                f"use one of {timed}; the others have the times of every segment, or none",
            )


def _run(batch: Batch, recognizer: Recognizer, at_once: int, bars: Bars, *, quiet: bool) -> int:
    """Transcribe every input; the first failure's exit status, or 0."""

    def work(job: Job, cancelled: Callable[[], bool]) -> Transcript:
        name = job.input.name
        with _opened(name, batch.options) as (file, sha256), bars.bar(name) as on_progress:
            return recognizer.transcribe(
                file,
                options=batch.options,
                audio_sha256=sha256,
                on_progress=on_progress,
                cancelled=cancelled,
            )

    def deliver(job: Job, result: Future[Transcript]) -> int:
        return _deliver(batch, job, result, quiet=quiet or batch.shown)

    tally = Tally(len(batch.jobs))
    try:
        carried_out(batch.jobs, work, deliver, tally, at_once=at_once, bars=bars)
    except KeyboardInterrupt:
        report.note(f"interrupted: {tally.line()}")
        if not batch.shown:
            report.note("the same command with --skip-existing does the rest")
        return EXIT_INTERRUPTED
    if len(batch.jobs) > 1 and not batch.shown and not quiet:
        report.note(tally.line())
    return tally.status


def _deliver(batch: Batch, job: Job, result: Future[Transcript], *, quiet: bool) -> int:
    """Write one recording's results, or report its error; the exit status that it asks for."""
    name = job.input.name
    try:
        transcript = result.result()
        report.warnings(transcript.warnings, subject=name)
        summary, trouble = _summary(batch, transcript)
        for form, path in job.targets or ((batch.forms[0], None),):
            data = _rendered(batch, name, form, transcript, summary)
            try:
                if path is None:
                    output.show(data)
                else:
                    write_atomic(path, data)
            except HostError as error:
                raise output.keep(data, name, form, error) from error
        if not quiet:
            report.note(f"{name} -> {', '.join(str(path) for _, path in job.targets)}")
    except GlagolError as error:
        return report.failure(error, subject=name)
    return 0 if trouble is None else report.failure(trouble, subject=name)


def _summary(batch: Batch, transcript: Transcript) -> tuple[bytes | None, GlagolError | None]:
    """The summary's JSON if one is wanted, or why there is none; the transcript is shown anyway."""
    if batch.llm is None:
        return None, None
    try:
        return ask({"transcript": as_data(transcript)}, *batch.llm), None
    except GlagolError as error:
        return None, error


def _rendered(
    batch: Batch, name: str, form: str, transcript: Transcript, summary: bytes | None
) -> bytes:
    """The bytes of one result; `_check` refused what cannot stand beside others or a summary."""
    together = len(batch.jobs) > 1 and batch.shown
    row = FORMATS[form]
    write = row.write_timed if batch.times and row.write_timed else row.write
    data = write(transcript)
    if form != JSON:
        shown = os.fsencode(f"{name}: ") + data if together else data
        return shown if summary is None else shown + b"\n" + rendered(summary, "text")
    if summary is not None:
        data = b'%b,"summary":%b}' % (data.removesuffix(b"}"), summary)
    if together:
        file = json.dumps(os.fsencode(name).decode(errors="replace"), ensure_ascii=False)
        data = b'{"file":%b,"data":%b}' % (file.encode(), data)
    return data + b"\n"


@contextmanager
def _opened(name: str, options: Options) -> Iterator[tuple[BinaryIO, str]]:
    """A seekable file and the sha256 of its bytes.

    Raises:
        InputError: `audio_not_found`.
        HostError: `host_io`, `disk_full`.
    """
    from glagol.core.files import host_error
    from glagol.speech.audio.decode import probe

    try:
        with ExitStack() as stack:
            source: Any = sys.stdin.buffer
            if name != STDIN:
                source = stack.enter_context(Path(name).open("rb"))
            if not source.seekable():
                spool = stack.enter_context(tempfile.SpooledTemporaryFile(MEMORY_BYTES))
                shutil.copyfileobj(source, spool)
                source = spool
            split = options.channel == "split"
            # before 3 GB are hashed
            probe(source, max_seconds=options.max_audio_s, split=split, track=options.track)
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            yield source, sha256
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(
            "audio_not_found", f"{error.strerror}", "check the path and the name of the file"
        ) from error
    except OSError as error:
        raise host_error(error, Path(name)) from error
