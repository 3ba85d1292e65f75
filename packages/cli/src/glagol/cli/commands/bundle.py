"""`glagol bundle`: offline bundles, from the checkout to the running release and back.

install.sh runs this module alone, with nothing but click on the path, so it imports the rest late.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glagol.cli import report
from glagol.core.errors import GlagolError

if TYPE_CHECKING:
    from glagol.bundle.write import Written

__all__ = ["bundle", "main"]

_FILE = click.Path(path_type=Path)
_IDENTITY = click.option("--identity", type=_FILE, help="age identity that opens a sealed bundle.")
_TO = click.option("--to", type=_FILE, required=True, help="Folder of the installation.")
_SIGNERS = click.option("--signers", type=_FILE, help="allowed_signers file of the release.")
_UNSIGNED = click.option("--allow-unsigned", is_flag=True, help="Trust the sums alone.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bundle() -> None:
    """Pack, verify, install and roll back offline bundles."""


def _making(command: Any) -> Any:
    """Options of the commands that read a checkout."""
    for option in (
        click.option("--variant", default="cpu", show_default=True, help="cpu, cuda or full."),
        click.option("--system", default="x86_64-linux", show_default=True),
        click.option(
            "--python",
            "pythons",
            default="3.11",
            show_default=True,
            help="Pythons of the targets, as in 3.11,3.12,3.13; the installer takes the one there.",
        ),
        click.option("--model", "models", multiple=True, help="Only these ids; else every built."),
        click.option("--with", "also", multiple=True, help="These ids, too."),
        click.option("--source", type=_FILE, default=".", show_default=True, help="The checkout."),
        click.option("--wheels", type=_FILE, multiple=True, help="Folder [SOURCE/.work/wheels]."),
        click.option("--store", "stores", type=_FILE, multiple=True, help="Store [SOURCE/store]."),
    ):
        command = option(command)
    return command


def _prepared(made: dict[str, Any]) -> Any:
    from glagol.bundle.pack.git_source import Checkout
    from glagol.bundle.pack.pack import prepare
    from glagol.bundle.pack.sources import Sources

    checkout = Checkout.open(made["source"])
    if checkout.changed:
        report.note(f"what is not committed is not packed; this is commit {checkout.commit}")
    wheels = made["wheels"] or (made["source"] / ".work" / "wheels",)
    stores = made["stores"] or (made["source"] / "store",)
    sources = Sources(checkout, tuple(wheels), tuple(stores))
    asked = {*made["pythons"].replace(",", " ").split()}
    pythons = tuple(sorted(asked, key=lambda version: (len(version), version)))
    if not pythons:
        raise click.UsageError("--python names no version")
    what, contents = prepare(
        sources, made["variant"], made["system"], made["models"], pythons, made["also"]
    )
    if contents.questions:
        report.note(f"{contents.questions} questions for a person: licences/REVIEW.tsv inside")
    return what, contents


@bundle.command()
@_making
@click.option("--json", "as_json", is_flag=True, help="The index as JSON.")
def plan(as_json: bool, **made: Any) -> None:
    """Show what a bundle of this checkout would hold; writes nothing."""
    what, contents = _prepared(made)
    if as_json:
        click.echo(contents.index.decode(), nl=False)
        return
    total = sum(member.entry.size for member in contents.members)
    for member in contents.members:
        click.echo(f"{member.entry.size:>12}  {member.entry.path}")
    for model, reason in what.left_out:
        click.echo(f"   left out   {model}: {reason}")
    click.echo(f"{total:>12}  {contents.name}, {len(contents.members)} files, id {contents.id}")


@bundle.command()
@_making
@click.option("--key", type=_FILE, help="OpenSSH private key (Ed25519) to sign with.")
@click.option("--signature", type=_FILE, help="A published SHA256SUMS.sig to carry instead.")
@click.option("--output", type=_FILE, default="dist", show_default=True, help="Folder.")
def pack(key: Path | None, signature: Path | None, output: Path, **made: Any) -> None:
    """Write the bundle of this checkout: the same commit gives the same bytes."""
    from glagol.bundle import sign
    from glagol.bundle.pack.pack import pack as write

    _, contents = _prepared(made)
    given = signature.read_bytes() if signature else None
    if key is not None:
        given = sign.sign(contents.sums, key)
    _say(write(contents, given, output, sys.stderr))
    click.echo(f"id {contents.id}{'' if given else ', unsigned'}")


@bundle.command()
@click.argument("place")
@_SIGNERS
@_UNSIGNED
@_IDENTITY
def verify(place: str, signers: Path | None, allow_unsigned: bool, identity: Path | None) -> int:
    """Check every byte of a bundle: tar, .parts.json, .age, folder, or - for a pipe."""
    from glagol.bundle import errors, reader
    from glagol.bundle import verify as checker

    faults: list[checker.BundleError] = []
    trusted = checker.Trusted(checker.signature_check(signers, allow_unsigned))
    try:
        with errors.translated(), reader.members(place, identity, sys.stderr) as members:
            count = checker.verify(
                checker.read(members, trusted, faults.append), trusted, sys.stderr
            )
        found: list[GlagolError] = []
    except GlagolError as error:
        found = [error]
    found = [*map(errors.of, faults), *found]
    status = [report.failure(error) for error in found[: checker.FAULTS_MAX]]
    if status:
        return status[0]
    base = ", delta" if trusted.base else ""  # no signature covers what it says of its base
    name = trusted.index["name"]
    click.echo(f"{name}: {count} files right{base}, {trusted.signer}, id {trusted.id}")
    return 0


@bundle.command()
@click.argument("path", type=_FILE)
@click.option("--recipients", type=_FILE, required=True, help="age recipients file.")
def seal(path: Path, recipients: Path) -> None:
    """Encrypt a bundle with age; the plain tar inside keeps its identity."""
    from glagol.bundle.sign import seal as encrypt

    _say(encrypt(path, recipients, sys.stderr))


@bundle.command()
@click.argument("path", type=_FILE)
@click.option("--output", type=_FILE, default="dist", show_default=True, help="Folder.")
@click.option("--part-bytes", type=int, default=1 << 30, show_default=True)
def split(path: Path, output: Path, part_bytes: int) -> None:
    """Cut a bundle into parts that can each be checked alone; again: resumes."""
    from glagol.bundle.split import split as cut

    click.echo(cut(path, output, part_bytes, sys.stderr))


@bundle.command()
@click.argument("place")
@click.option("--base", help="For a delta: the plain tar that it was made to.")
@_IDENTITY
@click.option("--output", type=_FILE, default="dist", show_default=True, help="Folder.")
def join(place: str, base: str | None, identity: Path | None, output: Path) -> None:
    """Write the full plain tar of parts, of a sealed bundle, or of a delta and its base."""
    from glagol.bundle import delta, errors, reader
    from glagol.bundle.write import write_file

    if base is not None:
        _say(delta.restore(place, base, output))
        return
    with errors.translated(), reader.opened(place, identity, sys.stderr) as file:
        name = Path(place).name
        for suffix in (reader.PARTS, ".age"):
            name = name.removesuffix(suffix)
        _say(write_file(output / name, iter(lambda: file.read(1 << 20), b"")))


@bundle.command()
@click.argument("old")
@click.argument("new")
@click.option("--write", type=_FILE, help="Folder to write a delta to, proved to give NEW.")
def diff(old: str, new: str, write: Path | None) -> None:
    """Show what NEW changes over OLD and how many bytes a delta would carry."""
    from glagol.bundle import delta

    found = delta.difference(delta.front_of(old), delta.front_of(new))
    for sign, paths in (("+", found.added), ("-", found.removed), ("*", found.changed)):
        for path in paths:
            click.echo(f"{sign} {path}")
    share = 100 * found.carried_bytes / max(found.full_bytes, 1)
    click.echo(f"a delta carries {found.carried_bytes} of {found.full_bytes} bytes ({share:.2f} %)")
    if write is not None:
        _say(delta.make(old, new, write, sys.stderr))


@bundle.command()
@click.argument("place")
@_TO
@_SIGNERS
@_UNSIGNED
@_IDENTITY
@click.option("--downgrade", is_flag=True, help="Install an older release on purpose.")
def apply(place: str, to: Path, identity: Path | None, **given: Any) -> None:
    """Install a bundle beside the running release, then cut over; again: resumes."""
    from glagol.bundle import errors, reader
    from glagol.bundle.install.apply import Options
    from glagol.bundle.install.apply import apply as install
    from glagol.bundle.install.disk import Disk
    from glagol.bundle.install.host import Machine
    from glagol.bundle.install.target import Target

    target = Target(to.absolute())
    options = Options(stream=sys.stderr, **given)
    with errors.translated(), reader.members(place, identity, sys.stderr) as members:
        running = install(members, target, Machine(), Disk(), options)
    click.echo(f"{running.index['name']} runs as generation {running.generation}")
    click.echo(f"start it: {target.current}/bin/asr-server, or {target.current}/units")


@bundle.command()
@_TO
def rollback(to: Path) -> None:
    """Return to the release before the running one."""
    from glagol.bundle.install.apply import rollback as back
    from glagol.bundle.install.disk import Disk
    from glagol.bundle.install.target import Target

    running = back(Target(to.absolute()), Disk())
    click.echo(f"{running.index['name']} runs as generation {running.generation}")


@bundle.command()
@_TO
@click.option("--keep", type=click.IntRange(1), default=2, show_default=True, help="Releases.")
@click.option("--delete", is_flag=True, help="Remove; without it, only show.")
def gc(to: Path, keep: int, delete: bool) -> None:
    """Show or remove what no kept release needs."""
    from glagol.bundle.install.apply import collect, garbage
    from glagol.bundle.install.disk import Disk
    from glagol.bundle.install.target import Target

    target = Target(to.absolute())
    found = garbage(target, keep)
    for path in found:
        click.echo(path)
    if delete:
        collect(target, Disk(), found)
    click.echo(json.dumps({"removed" if delete else "removable": len(found)}))


def _say(written: Written) -> None:
    click.echo(f"{written.path}  {written.size_bytes} bytes  sha256 {written.sha256}")


def main() -> int:
    """Run the group by itself, as install.sh does; the exit status as of the whole command."""
    try:
        status = bundle.main(prog_name="glagol bundle", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GlagolError as error:
        return report.failure(error)
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
