"""`glagol keys`: add, list, revoke and switch off API keys.

`glagol.web.access.api_keys` reads the file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from glagol.web.access.api_keys import Keyring

__all__ = ["FILE", "folder_of", "keys", "locked", "read_keys", "write_keys"]

FILE: Final = "keys.json"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Directory of what survives the server, where keys.json is [ASR_STATE].",
)
@click.pass_context
def keys(context: click.Context, state: Path | None) -> None:
    """Add, list and revoke keys; the server notices within a second.

    Until there is a key the server is open to every caller that reaches it.
    """
    context.obj = state


@keys.command()
@click.argument("name")
@click.option("--rate", type=click.IntRange(0), help="Requests per minute; 0 is any number.")
@click.option("--concurrent", type=click.IntRange(0), help="Requests at one time; 0 is any.")
@click.option("--expires", type=click.IntRange(1, 36500), metavar="DAYS", help="Never by default.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["transcribe", "jobs", "llm", "embed", "search", "metrics", "admin"]),
    default=["transcribe", "jobs"],
    show_default=True,
    help="What it may do; can be given several times.",
)
@click.pass_obj
def add(
    state: Path | None,
    name: str,
    rate: int | None,
    concurrent: int | None,
    expires: int | None,
    scopes: tuple[Any, ...],
) -> int:
    """Make a key and print it, once."""
    from glagol.cli import report
    from glagol.web.access.api_keys import now_utc

    now = now_utc().replace(microsecond=0)
    with locked(folder_of(state)) as folder:
        before = read_keys(folder)
        ring, text = before.add(
            name,
            created=now,
            expires=now + timedelta(days=expires) if expires else None,
            scopes=tuple(dict.fromkeys(scopes)),
            rate_per_minute=rate,
            concurrent=concurrent,
        )
        first = not (folder / FILE).exists()
        write_keys(folder, ring)
    click.echo(text)
    report.note(f"this is the only time that the key of {name} is shown")
    if first:
        report.note("keys are on now: the server refuses requests without one")
    return 0


@keys.command("list")
@click.pass_obj
def list_keys(state: Path | None) -> int:
    """List names, scopes and limits."""
    from glagol.cli import report
    from glagol.web.access.api_keys import now_utc, was_on

    folder = folder_of(state)
    if not (folder / FILE).exists():
        on = "keys were on, so the server does not start" if was_on(folder) else "keys are off"
        report.note(f"there is no {folder / FILE}: {on}")
        return 0
    now = now_utc()
    click.echo("name\tcreated\texpires\tscopes\trate\tconcurrent")
    for key in read_keys(folder).keys:
        expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d}"
        click.echo(
            "\t".join(
                (
                    key.name,
                    f"{key.created:%Y-%m-%d}",
                    f"{expires} (expired)" if key.expired(now) else expires,
                    ",".join(key.scopes),
                    _limit(key.rate_per_minute),
                    _limit(key.concurrent),
                )
            )
        )
    return 0


@keys.command()
@click.argument("name")
@click.pass_obj
def revoke(state: Path | None, name: str) -> int:
    """Take a key away; its jobs stay."""
    from glagol.cli import report

    with locked(folder_of(state)) as folder:
        ring = read_keys(folder).without(name)
        write_keys(folder, ring)
    report.note(f"the key of {name} is revoked")
    if not ring.keys:
        report.note(
            "no key is left and the server is closed to all callers: add one; to serve without"
            " keys, run `glagol keys off` and start the server anew"
        )
    return 0


@keys.command()
@click.pass_obj
def off(state: Path | None) -> int:
    """Remove all keys: from its next start on the server serves every caller that reaches it."""
    from glagol.cli import report
    from glagol.core.files import host_error
    from glagol.web.access.api_keys import MARK

    with locked(folder_of(state)) as folder:
        try:
            for name in (FILE, MARK):  # in this order: a crash between them leaves it closed
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise host_error(error, folder) from error
    report.note("keys are off; a server that runs still wants its last keys until it starts anew")
    return 0


def _limit(value: int | None) -> str:
    return "policy" if value is None else str(value or "any")


def folder_of(state: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of state: the option, ASR_STATE, or the server's default.

    Raises:
        InputError: `setting_invalid`, there is none.
    """
    from glagol.asr.settings import Settings
    from glagol.core.errors import InputError

    if state is not None:
        return state
    relevant = {name: text for name, text in environment.items() if not name.startswith("ASR_")}
    if "ASR_STATE" in environment:  # another variable's fault is not ours to tell
        relevant["ASR_STATE"] = environment["ASR_STATE"]
    found = Settings.from_environment(relevant).state
    if not found:
        raise InputError(
            "setting_invalid", "there is no directory for keys.json", "set ASR_STATE, or --state"
        )
    return Path(found)


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """The folder, made if need be, to ourselves: two commands at once must not lose a key.

    Raises:
        HostError: `disk_full` or `host_io`.
    """
    from glagol.core.files import host_error, private_folder

    try:
        private_folder(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise host_error(error, folder) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)


def read_keys(folder: Path) -> Keyring:
    """The keys of a directory of state; none where there is no file.

    Raises:
        InputError: `setting_invalid`.
        HostError: `host_io`.
    """
    from glagol.core.files import host_error
    from glagol.web.access.api_keys import Keyring, parse

    try:
        return parse((folder / FILE).read_bytes())
    except FileNotFoundError:
        return Keyring()
    except OSError as error:
        raise host_error(error, folder / FILE) from error


def write_keys(folder: Path, ring: Keyring) -> None:
    """Replace the key file; only its owner may read it."""
    from glagol.core.files import write_atomic
    from glagol.web.access.api_keys import mark

    write_atomic(folder / FILE, ring.written(), mode=0o600)
    mark(folder)
