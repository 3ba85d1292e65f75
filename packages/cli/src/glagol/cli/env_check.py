"""`glagol env-check`: the report of `glagol.cli.envcheck`, for people and for programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from glagol.cli import output
from glagol.cli.home import home_option
from glagol.registry.errors import CODES

__all__ = ["env_check"]

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command("env-check")
@click.argument("ids", nargs=-1, metavar="[MODEL]...")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--lock", help="Lock that the environment must equal [asr-cpu or asr-cuda].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@home_option
def env_check(
    ids: tuple[str, ...],
    device: Literal["cpu", "cuda"],
    lock: str | None,
    as_json: bool,
    home: Path,
) -> int:
    """Say what this machine lacks: Python, libraries, lock, providers, disk, clock, models.

    Without MODELs: those that the manifest's defaults name. Exit 5 when a check fails.
    """
    from glagol.cli import envcheck

    store = os.environ.get("GLAGOL_STORE")
    question = envcheck.Question(
        home=home.absolute(),
        store=Path(store).absolute() if store else None,
        lock=lock or f"asr-{device}",
        device=device,
        models=ids,
    )
    findings = envcheck.run(question)
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        import msgspec

        answer = {"ok": not failed, "findings": findings}
        output.show(msgspec.json.encode(answer) + b"\n")
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            click.echo(f"{MARKS[finding.status]}  {finding.check.ljust(width)}  {finding.found}")
            if finding.remedy:
                click.echo(f"      {' ' * width}  what to do: {finding.remedy}")
    return CODES["not_ready"].exit_status if failed else 0
