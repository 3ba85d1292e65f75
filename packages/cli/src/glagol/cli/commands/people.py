"""`glagol people`: the people that may sign in to the pages, their roles and passwords.

`glagol.web.access.people` reads the file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from glagol.cli.commands.keys import FILE as KEYS
from glagol.cli.commands.keys import folder_of, locked, read_keys, write_keys

if TYPE_CHECKING:
    from glagol.web.access.people import People, Role

__all__ = ["people"]

ROLES: Final = ("reader", "editor", "admin")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Directory of what survives the server, where people.json is [ASR_STATE].",
)
@click.pass_context
def people(context: click.Context, state: Path | None) -> None:
    """Add, list and remove people; the server notices within a second.

    From the first person on programs need a key, too (`glagol keys add NAME`).
    """
    context.obj = state


@people.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="editor", show_default=True)
@click.option(
    "--no-password", is_flag=True, help="Only a proxy or a provider of identities may name them."
)
@click.pass_obj
def add(state: Path | None, name: str, role: Role, no_password: bool) -> int:
    """Add a person, or give one another role and password.

    The password is asked for; without a terminal it is the first line of the input.
    """
    from glagol.cli import report
    from glagol.web.access.api_keys import now_utc
    from glagol.web.access.people import Person, hashed

    _check(name)
    password = "" if no_password else hashed(_asked())
    person = Person(
        name=name, role=role, password=password, created=now_utc().replace(microsecond=0)
    )
    with locked(folder_of(state)) as folder:
        _write(folder, _read(folder).put(person))
    report.note(f"{name} may sign in as {role}")
    return 0


@people.command("list")
@click.pass_obj
def list_people(state: Path | None) -> int:
    """List names, roles and whether there is a password."""
    click.echo("name\trole\tpassword\tcreated")
    for each in _read(folder_of(state)).people:
        password = "yes" if each.password else "no"
        click.echo(f"{each.name}\t{each.role}\t{password}\t{each.created:%Y-%m-%d}")
    return 0


@people.command()
@click.argument("name")
@click.pass_obj
def remove(state: Path | None, name: str) -> int:
    """Take a person's access away; recordings and edits stay."""
    from glagol.cli import report

    with locked(folder_of(state)) as folder:
        _write(folder, _read(folder).without(name))
    report.note(f"{name} may no longer sign in")
    return 0


def _check(name: str) -> None:
    """Refuse what is no name of a person.

    Raises:
        InputError: `option_invalid`.
    """
    import re

    from glagol.core.errors import InputError
    from glagol.web.access.people import NAME

    if not re.fullmatch(NAME, name):
        raise InputError(
            "option_invalid",
            f"{name[:100]!r} is no name of a person",
            "use 1..100 of A-Z a-z 0-9 . _ @ \\ + -, a letter or digit first",
        )


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _read(folder: Path) -> People:
    from glagol.core.files import host_error
    from glagol.web.access.people import FILE, People, parse

    try:
        return parse((folder / FILE).read_bytes()) or People()
    except FileNotFoundError:
        return People()
    except OSError as error:
        raise host_error(error, folder / FILE) from error


def _write(folder: Path, found: People) -> None:
    """Replace the file; only its owner may read it. Keys are on from then on, if without any."""
    from glagol.core.files import write_atomic
    from glagol.web.access.people import FILE

    if not (folder / KEYS).exists():
        write_keys(folder, read_keys(folder))
    write_atomic(folder / FILE, found.written(), mode=0o600)
