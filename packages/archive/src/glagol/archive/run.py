"""One run of an archive: from what was asked for to the tally."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.archive import tables
from glagol.archive.actors import cluster
from glagol.archive.actors.crew import Crew
from glagol.archive.actors.recogniser import registry_of
from glagol.archive.decided import decision_of
from glagol.archive.flow import Flow, Tally
from glagol.archive.ledger import Ledger
from glagol.archive.order import longest_first
from glagol.archive.parts import FAILED_AT, RECORDINGS_AT, Parts, generation_of, part_names
from glagol.archive.places import place
from glagol.archive.sources import listed
from glagol.core.errors import InputError
from glagol.speech.output.provenance import provenance_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.archive.actors.wire import Identity, Job
    from glagol.archive.places import Place
    from glagol.archive.sources import Source
    from glagol.core.errors import GlagolError

__all__ = ["Asked", "archive", "begun"]

DRIVER: Final = 0
"""Number of the driver among the writers of a run; readers count from 1."""

RECOGNISER_SLOTS: Final = 2
"""Calls of a recogniser: one that runs, one that waits for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked for.

    Attributes:
        source: as `glagol.archive.sources.listed` takes it.
        column: of a list.
        address: of a cluster; empty for one of our own.
        dashboard: whether ours has Ray's dashboard.
        needs: the actors.
    """

    source: str
    column: str
    address: str
    dashboard: bool
    needs: cluster.Needs


def begun(target: str, *, resume: bool) -> int:
    """The generation of the next run on a target.

    Raises:
        InputError: `output_exists`, it holds results and `resume` was not asked for.
    """
    found = place(target)
    names = [name for table in (RECORDINGS_AT, FAILED_AT) for name in part_names(found, table)]
    if names and not resume:
        raise InputError(
            "output_exists",
            f"{target} holds results of an earlier run",
            "add --resume to do what is missing, or name another target",
        )
    return 1 + max(map(generation_of, names), default=0)


def archive(
    asked: Asked,
    job: Job,
    tell: Callable[[Tally, Source | None, GlagolError | None], None],
) -> Tally:
    """Transcribe an archive.

    Args:
        asked: what, and with which actors.
        job: what the actors do.
        tell: as `glagol.archive.flow.Flow.tell`.

    Returns:
        What was done.

    Raises:
        GlagolError: what ends the whole run; what was written stays, and `--resume` does the rest.
    """
    target = place(job.target)
    with cluster.cluster(asked.address, asked.needs, dashboard=asked.dashboard):
        return asyncio.run(_run(asked, job, target, tell))


async def _run(
    asked: Asked,
    job: Job,
    target: Place,
    tell: Callable[[Tally, Source | None, GlagolError | None], None],
) -> Tally:
    known: list[Identity] = []
    needs = asked.needs
    recognisers = Crew(
        lambda _: cluster.recogniser(job, needs, known), needs.recognisers, RECOGNISER_SLOTS
    )
    await recognisers.begin()
    identity = known[0]
    start = partial(cluster.reader, job, needs, identity)
    readers = Crew(start, needs.readers, job.slots)
    await readers.begin()
    decision = decision_of(provenance_of(identity.provenance), registry_of(job), job.options)
    recordings = Parts(target, RECORDINGS_AT, job.generation, DRIVER)
    with tempfile.TemporaryDirectory(prefix="glagol-") as folder:
        ledger = Ledger(Path(folder, "ledger"), decision.all)
        try:
            for part in part_names(target, RECORDINGS_AT):
                ledger.take(part, recordings.keys(part))
            flow = Flow(
                readers=readers,
                recognisers=recognisers,
                independent=identity.independent,
                ledger=ledger,
                target=target,
                recordings=recordings,
                failures=Parts(target, FAILED_AT, job.generation, DRIVER),
                formats=frozenset(job.formats),
                tell=tell,
            )
            found = listed(asked.source, column=asked.column, parquet=tables.names)
            await flow.run(longest_first(found))
            _tidied(ledger, recordings, target, job.generation)
            return flow.tally
        finally:
            ledger.close()


def _tidied(ledger: Ledger, recordings: Parts, target: Place, generation: int) -> None:
    """Leave one row for each recording: remove what later rows replace, and failures mended."""
    for part, paths in sorted(ledger.superseded().items()):
        recordings.without(part, paths)
        ledger.drop(part, paths)
    failures = Parts(target, FAILED_AT, generation, DRIVER)
    names = sorted(part_names(target, FAILED_AT))
    again = {
        row["path"]
        for name in names
        if generation_of(name) == generation
        for row in failures.rows(name)
    }
    for name in names:
        if generation_of(name) < generation:
            paths = {row["path"] for row in failures.rows(name)}
            failures.without(name, {path for path in paths if path in again or ledger.has(path)})
