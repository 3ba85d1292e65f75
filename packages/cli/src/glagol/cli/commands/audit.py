"""`glagol audit`: is the log whole, and what does it say of a job; see `glagol.web.audit_log`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

__all__ = ["audit"]

_FILE = "audit.log"
_argument = click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False), required=False, metavar="[FILE]"
)


@click.group()
def audit() -> None:
    """Verify the audit log, and show what it says of a job.

    Without FILE: audit.log in ASR_STATE.
    """


@audit.command()
@_argument
@click.option("--head", metavar="HASH", help="Noted earlier: the line of this hash must be there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(file: Path | None, head: str | None, as_json: bool) -> int:
    """Check every line against the one before; exit 4 at the first that is wrong.

    The newest hash is printed: note it elsewhere, and a later --head proves that nothing written
    until then was cut off or written anew.
    """
    import msgspec

    from glagol.cli import output, report
    from glagol.core.errors import IntegrityError
    from glagol.web import audit_log as log

    path = _found(file)
    found = log.verify(path, head=None if head is None else head.lower())
    if as_json:
        output.show(msgspec.json.encode(found) + b"\n")
    else:
        click.echo(f"{path}: {found.lines} lines are right")
        if found.lines:
            click.echo(f"from {found.first_time} to {found.last_time}")
        if found.torn:
            click.echo(f"{found.torn} times a crash had cut a line short; the log says so itself")
        click.echo(f"newest hash: {found.head}")
    if not found.fault:
        return 0
    remedy = "compare with a copy; `glagol audit verify --json` counts what is right until there"
    return report.failure(IntegrityError("audit_altered", found.fault, remedy))


@audit.command()
@_argument
@click.option("--job", required=True, metavar="ID", help="Id of the job, request or call.")
def show(file: Path | None, job: str) -> int:
    """Print the lines of a job, as they are in the file; all lines are checked on the way.

    A request's id may be its caller's choice, and stand for several requests: `call` is ours.
    """
    import msgspec

    from glagol.cli import output, report
    from glagol.web import audit_log as log

    origins = set()
    for line in log.lines(_found(file)):
        if job in {line.get("job"), line.get("request"), line.get("call")}:
            origins.add((line.get("owner"), line.get("job") or line.get("call") or line["seq"]))
            output.show(msgspec.json.encode(line, order="sorted") + b"\n")
    if not origins:
        report.note(f"no line names {job}")
    if len(origins) > 1:
        keys = len({owner for owner, _ in origins})
        report.note(
            f"{len(origins)} requests of {keys} keys have the id {job}, which their callers chose:"
            " call and job tell them apart"
        )
    return 0


def _found(file: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The log that is meant.

    Raises:
        InputError: `not_found`, there is none.
    """
    from glagol.asr.settings import Settings
    from glagol.core.errors import InputError

    if file is None:
        ours = {name: text for name, text in environment.items() if not name.startswith("ASR_")}
        if "ASR_STATE" in environment:  # another variable's fault is not ours to tell
            ours["ASR_STATE"] = environment["ASR_STATE"]
        file = Path(Settings.from_environment(ours).state, _FILE)
    if not file.is_file():
        raise InputError(
            "not_found", f"there is no audit log at {file}", "name the file, or set ASR_STATE"
        )
    return file
