"""`glagol env-check`: the report of `glagol.cli.env_checks.asr`, for people and for programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from glagol.cli import output
from glagol.cli.options import home_option
from glagol.cli.texts.catalogue import translated
from glagol.core.errors import CODES

if TYPE_CHECKING:
    from glagol.cli.env_checks.asr import Finding

__all__ = ["env_check"]

Device: TypeAlias = Literal["cpu", "cuda"]
MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command("env-check")
@click.argument("ids", nargs=-1, metavar="[MODEL]...")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[cpu; with --llm LLM_DEVICE]")
@click.option("--lock", help="Lock that the environment must equal [asr-cpu, asr-cuda, llm-cuda].")
@click.option("--llm", is_flag=True, help="What llm-server needs, by its LLM_* variables.")
@click.option(
    "--search",
    is_flag=True,
    help="What embed-server and rag-server need, by their EMBED_* and RAG_* variables.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@home_option
def env_check(
    ids: tuple[str, ...],
    device: Device | None,
    lock: str | None,
    llm: bool,
    search: bool,
    as_json: bool,
    home: Path,
) -> int:
    """Say what this machine lacks: Python, libraries, lock, providers, disk, clock, models.

    And whether the matrix unit (AMX) is in use, and what holds the processes that open recordings;
    a machine without the first lacks nothing.

    Without MODELs: those that the manifest's defaults name. With --llm: vLLM's environment,
    driver, memory of the card, and one language model. With --search: the model of embeddings, the
    index, and whether embed-server and rag-server answer. Exit 5 when a check fails.
    """
    findings = _findings(ids, device, lock, home, llm=llm, search=search)
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
                remedy = translated(f"what to do: {translated(finding.remedy)}")
                click.echo(f"      {' ' * width}  {remedy}")
    return CODES["not_ready"].exit_status if failed else 0


def _findings(
    ids: tuple[str, ...],
    device: Device | None,
    lock: str | None,
    home: Path,
    *,
    llm: bool,
    search: bool,
) -> list[Finding]:
    if llm and search:
        raise click.UsageError("--llm and --search are two reports")
    if llm:
        return _llm(ids, device, lock, home)
    if search:
        return _search(ids, lock, home)
    return _asr(ids, device or "cpu", lock, home)


def _asr(ids: tuple[str, ...], device: Device, lock: str | None, home: Path) -> list[Finding]:
    from glagol.cli.env_checks import asr

    return asr.run(
        asr.Question(home.absolute(), _store(), lock or _lock_of(home, device), device, ids)
    )


def _lock_of(home: Path, device: Device) -> str:
    """The device's lock; where only the other's is, as in a bundle for CUDA on a CPU, that one."""
    own, other = f"asr-{device}", "asr-cpu" if device == "cuda" else "asr-cuda"
    absent = not (home / "lock" / f"{own}.txt").is_file()
    return other if absent and (home / "lock" / f"{other}.txt").is_file() else own


def _llm(
    ids: tuple[str, ...], device: Device | None, lock: str | None, home: Path
) -> list[Finding]:
    from glagol.cli.env_checks import asr
    from glagol.cli.env_checks import llm as llmcheck
    from glagol.llm.settings import Settings

    if len(ids) > 1:
        raise click.UsageError("--llm takes one MODEL, since llm-server serves one")
    given = {"LLM_MODEL_NAME": "".join(ids), "LLM_DEVICE": device or ""}
    chosen = {name: value for name, value in given.items() if value}
    settings = Settings.from_environment({**os.environ, **chosen})
    question = asr.Question(home.absolute(), _store(), lock or "llm-cuda", settings.device, ids)
    return llmcheck.run(question, settings)


def _search(ids: tuple[str, ...], lock: str | None, home: Path) -> list[Finding]:
    from glagol.cli.env_checks import asr
    from glagol.cli.env_checks import search as searchcheck
    from glagol.embed.settings import Settings as EmbedSettings
    from glagol.rag.http.settings import Settings as RagSettings

    if len(ids) > 1:
        raise click.UsageError("--search takes one MODEL, since a server embeds with one")
    embed = EmbedSettings.from_environment(os.environ)
    rag = RagSettings.from_environment(os.environ)
    place, device = home.absolute(), embed.device
    question = asr.Question(place, _store(), lock or _lock_of(home, device), device, ids)
    return searchcheck.run(question, embed, rag)


def _store() -> Path | None:
    store = os.environ.get("GLAGOL_STORE")
    return Path(store).absolute() if store else None
