"""`glagol transcribe`: files in, transcripts out, one bad file never in the way of the others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import click

from glagol.cli import output, report
from glagol.cli.commands.summarize import ask, llm_options, rendered
from glagol.cli.options import home_option
from glagol.cli.progress import Bars
from glagol.core.errors import GlagolError, HostError, InputError
from glagol.core.files import write_atomic
from glagol.models.home import load
from glagol.speech.language import AUTO
from glagol.speech.output.formats import FORMATS, JSON, as_data

if TYPE_CHECKING:
    from glagol.speech.pipeline.recognizer import Recognizer
    from glagol.speech.types import Options, Transcript

__all__ = ["transcribe"]

STDIN: Final = "-"
MEMORY_BYTES: Final = 1 << 20
DEFAULT: Final = "text"
_OTHERS: Final = ", ".join(row.extension for row in FORMATS.values() if row.name != DEFAULT)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of the command does.

    Attributes:
        names: Inputs as typed; `-` is standard input.
        form: Name of the results' format.
        folder: Where results go; None means standard output.
        options: What to do with each input.
        llm: Address and key of llm-server when summaries are wanted.
    """

    names: tuple[str, ...]
    form: str
    folder: Path | None
    options: Options
    llm: tuple[str, str] | None = None


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--model", help="Model id or alias; the manifest's default otherwise.")
@click.option("--variant", help="Variant id such as cpu-int8.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default=DEFAULT,
    show_default=True,
)
@click.option(
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Write NAME{FORMATS[DEFAULT].extension} ({_OTHERS}) there instead of to standard output.",
)
@click.option(
    "--channel",
    type=click.Choice(["mix", "split"]),
    default="mix",
    show_default=True,
    help="split: each channel alone, who speaks is told by its number.",
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
@click.option("--diarize", is_flag=True, help="Say who speaks; S1 is the first to speak.")
@click.option("--num-speakers", type=int, metavar="N", help="How many people speak, if known.")
@click.option("--min-speakers", type=int, metavar="N", help="At least so many.")
@click.option("--max-speakers", type=int, metavar="N", help="At most so many.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=0,
    help="Of one inference; 0 = one per physical core.",
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
    form: str,
    folder: Path | None,
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
    llm_url: str,
    llm_key: str,
    home: Path,
) -> int:
    """Write what is said in audio FILEs; - reads standard input.

    Several texts are prefixed by their file's name, several JSON results are lines of
    {"file", "data"}.
    """
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Options

    llm = (llm_url, llm_key) if summarize else None
    people = Bounds.asked(
        diarize=diarize, number=num_speakers, least=min_speakers, most=max_speakers
    )
    options = Options(language, channel=channel, track=track, strict=strict, speakers=people)
    batch = Batch(files, form, folder, options, llm)
    _check(batch)
    from glagol.runtime.options import Runtime
    from glagol.speech.pipeline.options import granted
    from glagol.speech.pipeline.recognizer import Recognizer

    registry = load(home)
    if jobs > 1 and not threads:
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    recognizer = Recognizer.open(
        registry, model=model, variant=variant, runtime=Runtime(device=device, threads=threads)
    )
    granted(batch.options, recognizer.model.id, recognizer.engine.traits)
    if people is not None:
        recognizer.speakers.model()  # says that it is not here before any file is read
    with Bars(sys.stderr) as bars:
        return _run(batch, recognizer, jobs, bars)


def _check(batch: Batch) -> None:
    """Refuse what cannot end well before a model is opened."""
    if batch.folder is not None:
        output.targets(batch.names, batch.form, batch.folder)
    elif len(batch.names) > 1 and not FORMATS[batch.form].joinable:
        raise InputError(
            "option_invalid",
            f"several {batch.form} files cannot share standard output",
            "give --output-dir, or one FILE at a time",
        )
    if batch.llm and not FORMATS[batch.form].joinable:
        raise InputError(
            "option_invalid",
            f"{batch.form} has no place for a summary",
            "use --format text or json, or `glagol summarize` on a JSON transcript",
        )
    named = batch.options.speakers is not None or batch.options.channel == "split"
    if batch.form == "rttm" and not named:
        raise InputError("option_invalid", "rttm says who speaks when", "add --diarize")
    if batch.names.count(STDIN) > 1:
        raise InputError("option_invalid", "- is given twice", "standard input can be read once")


def _run(batch: Batch, recognizer: Recognizer, jobs: int, bars: Bars) -> int:
    """Transcribe every input; the first failure's exit status, or 0."""
    stop = threading.Event()

    def one(name: str) -> Transcript:
        with _opened(name, batch.options) as (file, sha256), bars.bar(name) as on_progress:
            return recognizer.transcribe(
                file,
                options=batch.options,
                audio_sha256=sha256,
                on_progress=on_progress,
                cancelled=stop.is_set,
            )

    workers = ThreadPoolExecutor(jobs, thread_name_prefix="transcribe")
    try:
        results = [workers.submit(one, name) for name in batch.names]
        statuses = []
        for index, result in enumerate(results):
            _settle(result, stop)
            statuses.append(_deliver(batch, index, result))
    finally:  # on Ctrl-C the running files stop after their current chunk
        stop.set()
        workers.shutdown(cancel_futures=True)
    return next((status for status in statuses if status), 0)


def _settle(result: Future[Transcript], stop: threading.Event) -> None:
    """Wait until a result is there.

    An interrupt that is raised inside a future's lock leaves it locked, and the worker waits for
    it for ever. So the first Ctrl-C only sets `stop`, which ends the work; a second one is raised.

    Raises:
        KeyboardInterrupt: the work was stopped.
    """

    def ask(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        wait((result,))
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        raise KeyboardInterrupt


def _deliver(batch: Batch, index: int, result: Future[Transcript]) -> int:
    """Write one result, or report its error; the exit status that it asks for."""
    name = batch.names[index]
    try:
        transcript = result.result()
        report.warnings(transcript.warnings, subject=name)
        summary, trouble = _summary(batch, transcript)
        data = _rendered(batch, name, transcript, summary)
        try:
            if batch.folder is None:
                output.show(data)
            else:
                write_atomic(output.targets(batch.names, batch.form, batch.folder)[index], data)
        except HostError as error:
            raise output.keep(data, name, batch.form, error) from error
    except GlagolError as error:
        return report.failure(error, subject=name)
    return 0 if trouble is None else report.failure(trouble, subject=name)


def _summary(batch: Batch, transcript: Transcript) -> tuple[bytes | None, GlagolError | None]:
    """The summary's JSON if one is wanted, or why there is none: the transcript is told anyway."""
    if batch.llm is None:
        return None, None
    try:
        return ask({"transcript": as_data(transcript)}, *batch.llm), None
    except GlagolError as error:
        return None, error


def _rendered(batch: Batch, name: str, transcript: Transcript, summary: bytes | None) -> bytes:
    """The bytes of one result; `_check` refused what cannot stand beside others or a summary."""
    together = len(batch.names) > 1 and batch.folder is None
    data = FORMATS[batch.form].write(transcript)
    if batch.form != JSON:
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
