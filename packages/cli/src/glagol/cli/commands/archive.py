"""`glagol archive`: transcribe a whole archive into tables and files, on Ray actors."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from glagol.archive.actors.environment import prepare
from glagol.cli import report, streams
from glagol.cli.batch.asked import Forms
from glagol.cli.options import home_option, search_options, speaker_options
from glagol.cli.texts.catalogue import translated
from glagol.core.cores import usable
from glagol.core.errors import EXIT_INTERRUPTED, HostError, InputError
from glagol.models.home import load
from glagol.speech.language import AUTO

if TYPE_CHECKING:
    from glagol.archive.actors.wire import Job
    from glagol.archive.flow import Tally
    from glagol.archive.run import Asked
    from glagol.archive.sources import Source
    from glagol.core.errors import GlagolError
    from glagol.registry.registry import Registry
    from glagol.speech.types import Options

__all__ = ["archive"]

PARQUET: Final = "parquet"
LIVELY_S, QUIET_S = 1.0, 60.0  # seconds between two lines of progress: on a terminal, else
READER_SLOTS: Final = 6
RECOGNISERS_PER_READER: Final = 8
HOUR_S, MINUTE_S = 3600, 60


@click.command()
@click.argument("source")
@click.option(
    "--to", "target", required=True, help="Folder or s3://BUCKET/PREFIX of tables and files."
)
@click.option("--resume", is_flag=True, help="Do what an earlier run on this target has not done.")
@click.option(
    "--column",
    default="path",
    show_default=True,
    help="The column of a list that names the recordings.",
)
@click.option("-m", "--model", help="Model id or alias; the manifest's default otherwise.")
@click.option("--variant", help="Variant id such as cpu-int8.")
@click.option(
    "-f", "--format", "forms", type=Forms(), multiple=True, help="Files beside the table."
)
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
@search_options
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--actors",
    type=click.IntRange(1, 100_000),
    help="Recognisers; one for each group of --threads cores, or each card, otherwise.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="CPU threads of one recogniser.",
)
@click.option(
    "--readers",
    type=click.IntRange(1, 10_000),
    help="Processes that open and cut recordings; one for 8 recognisers otherwise.",
)
@click.option(
    "--address", default="", help="Address of a Ray cluster; without it one is started here."
)
@click.option("--dashboard", is_flag=True, help="Start Ray's dashboard with the cluster.")
@click.option(
    "--start-timeout",
    type=click.FloatRange(1, 3600),
    default=300.0,
    show_default=True,
    help="Seconds that actors may take to start.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors alone.")
@home_option
def archive(source: str, target: str, quiet: bool, **given: Any) -> int:
    """Transcribe all of SOURCE: a folder, a pattern, a .csv or .parquet list, s3://BUCKET/PREFIX.

    The table of transcripts is TARGET/recordings/*.parquet, what failed TARGET/failed/*.parquet.
    """
    _require_extra()
    prepare(given["address"])
    from glagol.archive.run import archive as run
    from glagol.archive.run import begun

    registry = load(given["home"])
    options = _options(registry, given)
    needs = _needs(given)
    generation = begun(target, resume=given["resume"])
    job = _job(registry, options, given, target=target, generation=generation)
    asked = _asked(source, given, needs)
    shown = _Shown(quiet=quiet)
    try:
        tally = run(asked, job, shown)
    except KeyboardInterrupt:
        report.note("interrupted: the same command with --resume does the rest")
        return EXIT_INTERRUPTED
    shown.end(tally)
    return tally.status


def _require_extra() -> None:
    missing = [name for name in ("pyarrow", "ray") if importlib.util.find_spec(name) is None]
    if missing:
        raise HostError(
            "provider_missing",
            f"this installation lacks {' and '.join(missing)}, which archives need",
            "use the environment of lock/archive.txt: build/python archive -m glagol.cli archive,"
            " or install glagol-archive[ray]",
        )


def _options(registry: Registry, given: dict[str, Any]) -> Options:
    from glagol.speech.engines.families import family_of
    from glagol.speech.pipeline.options import granted
    from glagol.speech.speakers.families import located
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Options

    people = Bounds.asked(
        diarize=given["diarize"],
        number=given["num_speakers"],
        least=given["min_speakers"],
        most=given["max_speakers"],
    )
    if people is not None:
        located(registry)
    channel: Literal["mix", "split"] = given["channel"]
    options = Options(
        given["language"],
        channel=channel,
        track=given["track"],
        strict=given["strict"],
        task=given["task"],
        window=given["window"],
        prompt=given["prompt"],
        speakers=people,
    )
    model = registry.model(given["model"] or registry.manifest.defaults.asr)
    return granted(options, model.id, family_of(model).describe(model))


def _needs(given: dict[str, Any]) -> Any:
    from glagol.archive.actors.cluster import Needs

    actors = given["actors"]
    if actors is None:
        if given["address"]:
            raise InputError(
                "option_invalid", "a cluster was named without --actors", "say how many there are"
            )
        actors = 1 if given["device"] == "cuda" else max(1, usable() // given["threads"])
    readers = given["readers"] or -(-actors // RECOGNISERS_PER_READER)
    return Needs(actors, readers, given["threads"], given["device"], given["start_timeout"])


def _job(
    registry: Registry, options: Options, given: dict[str, Any], *, target: str, generation: int
) -> Job:
    from glagol.archive.actors.wire import Job

    forms = tuple(dict.fromkeys(form for each in given["forms"] for form in each))
    if "rttm" in forms and options.speakers is None and options.channel != "split":
        raise InputError("option_invalid", "rttm says who speaks when", "add --diarize")
    return Job(
        home=str(given["home"].absolute()),
        store=str(registry.store.root),
        model=registry.model(given["model"] or registry.manifest.defaults.asr).id,
        variant=given["variant"] or "",
        device=given["device"],
        threads=given["threads"],
        chosen=asdict(options),
        target=target if "://" in target else str(Path(target).absolute()),
        formats=forms,
        generation=generation,
        slots=READER_SLOTS,
    )


def _asked(source: str, given: dict[str, Any], needs: Any) -> Asked:
    from glagol.archive.run import Asked

    where = source if "://" in source else os.path.abspath(source)  # noqa: PTH100 - keeps patterns
    return Asked(where, given["column"], given["address"], given["dashboard"], needs)


@dataclass(slots=True)
class _Shown:
    """Progress and failures on stderr: recordings, hours, speed, time left."""

    quiet: bool
    began: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)
    live: bool = field(default_factory=sys.stderr.isatty)

    def __call__(self, tally: Tally, source: Source | None, error: GlagolError | None) -> None:
        """Print a failure, and the progress if the last line is old enough."""
        if error is not None and source is not None:
            self._clear()
            report.failure(error, subject=source.name)
        now = time.monotonic()
        if self.quiet or now - self.last < (LIVELY_S if self.live else QUIET_S):
            return
        self.last = now
        if self.live:
            self._clear()
            click.echo(self.line(tally), err=True, nl=False)
        else:
            report.note(self.line(tally))

    def end(self, tally: Tally) -> None:
        """Print the last line."""
        if not self.quiet:
            self._clear()
            report.note(self.line(tally))

    def line(self, tally: Tally) -> str:
        """The progress as a line of text."""
        took = max(time.monotonic() - self.began, 1e-9)
        ended = tally.done + tally.copied + tally.failed
        total = tally.listed - tally.skipped
        parts = [f"{ended} of {total} recordings" if tally.complete else f"{ended} recordings"]
        parts += [f"{tally.copied} copied"] if tally.copied else []
        parts += [f"{tally.skipped} skipped"] if tally.skipped else []
        parts += [f"{tally.failed} failed"] if tally.failed else []
        parts += [f"{tally.audio_s / HOUR_S:.2f} h of audio"]
        parts += [f"{tally.audio_s / took:.1f} times real time"]
        left = tally.bytes_listed - tally.bytes_done
        if left > 0 and tally.bytes_done and tally.complete:
            rest = took * left / tally.bytes_done
            parts += [f"about {rest / MINUTE_S:.0f} min left"]
        return ", ".join(map(translated, parts))

    def _clear(self) -> None:
        if self.live:
            try:
                click.echo("\r\033[K", err=True, nl=False)
            except OSError:
                streams.discard(sys.stderr)
