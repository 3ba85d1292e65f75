"""`glagol plan-gpu`: whether a recogniser and a language model share a card, and with what room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glagol.cli import output, report
from glagol.cli.options import home_option
from glagol.core.errors import CODES, GlagolError, InputError
from glagol.models.home import load

if TYPE_CHECKING:
    from glagol.models.gpu_plan import Card
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["plan_gpu"]

NO_MODEL = "none"  # as in glagol.models.gpu_plan, which the command's help must not import


@click.command("plan-gpu")
@click.option(
    "--vram",
    type=click.FloatRange(0.5, 1024),
    required=True,
    metavar="GIB",
    help="Memory of the card in GiB, as nvidia-smi shows it.",
)
@click.option("--asr", help="Model id, or none; the manifest's default recogniser otherwise.")
@click.option("--llm", help="Model id, or none; every language model of the manifest otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@home_option
def plan_gpu(vram: float, asr: str | None, llm: str | None, as_json: bool, home: Path) -> int:
    """Divide a card between the recogniser and a language model.

    With --llm exit status 5 says that it does not fit; without, a table of all of them.
    """
    registry = load(home)
    asr = asr or registry.manifest.defaults.asr
    recogniser = None if asr == NO_MODEL else registry.model(asr)
    rows = [_row(vram, recogniser, model) for model in _models(registry, llm)]
    error = rows[0][2] if llm is not None else None
    if as_json:
        output.show(json.dumps([_data(*row) for row in rows]).encode() + b"\n")
        return CODES[error.code].exit_status if error is not None else 0
    if error is not None:
        return report.failure(error)
    for line in _lines(rows):
        click.echo(line)
    return 0


def _models(registry: Registry, name: str | None) -> list[Model | None]:
    from glagol.registry.manifest.rules import role_of

    if name is not None:
        return [None if name == NO_MODEL else registry.model(name)]
    found: list[Model | None] = [m for m in registry.manifest.models if role_of(m) == "llm"]
    if not found:
        raise InputError("option_invalid", "the manifest has no language model", "add --llm none")
    return found


Row = tuple["Model | None", "Card | None", "GlagolError | None"]


def _row(vram: float, asr: Model | None, llm: Model | None) -> Row:
    from glagol.models.gpu_plan import GIB, plan

    try:
        return llm, plan(round(vram * GIB), asr, llm), None
    except GlagolError as error:
        return llm, None, error


def _data(llm: Model | None, card: Card | None, error: GlagolError | None) -> dict[str, Any]:
    found: dict[str, Any] = {"llm": llm.id if llm else None, "fits": card is not None}
    if error is not None:
        fields = {"code": error.code, "message": error.message, "remedy": error.remedy}
        return {**found, "error": fields}
    assert card is not None  # noqa: S101 - a row has one of the two
    return {
        **found,
        **asdict(card),
        "vllm_flags": card.vllm_flags(),
        "llm_settings": card.llm_settings(),
        "onnxruntime_options": card.onnxruntime_options(),
    }


def _lines(rows: list[Row]) -> Iterator[str]:
    for llm, card, error in rows:
        yield f"{llm.id if llm else 'no language model'}"
        if card is None:
            assert error is not None  # noqa: S101 - a row has one of the two
            yield f"    does not fit: {error.message}"
            continue
        for line in card.lines:
            size = "unknown" if line.size_bytes is None else f"{line.size_bytes / 2**20:,.0f} MiB"
            yield f"    {line.name:<44} {size:>12}  {line.basis}"
        yield f"    {'left for the cache':<44} {card.cache_bytes / 2**20:>8,.0f} MiB"
        yield from _room(card, llm)


def _room(card: Card, llm: Model | None) -> Iterator[str]:
    if llm is None:
        return
    if card.token_bytes is None:
        yield "    context: unknown, since what a token takes of the cache is unknown"
    else:
        yield f"    {'a token of the cache':<44} {card.token_bytes / 1024:>8,.0f} KiB"
        yield f"    longest context: {card.context_tokens} tokens"
        for tokens, prompts in card.prompts.items():
            yield f"    at {tokens} tokens: {prompts} at a time"
    settings = " ".join(f"{name}={value}" for name, value in card.llm_settings().items())
    yield f"    llm-server: {settings}"
    yield f"    vLLM: {' '.join(card.vllm_flags())}"
    limit = card.onnxruntime_options()["gpu_mem_limit"]
    yield f"    ONNX Runtime: gpu_mem_limit={limit}"
    gib = f"{card.vram_bytes / 2**30:g}"
    yield f'    or, for both, in policy.toml: [gpu] vram_gib = {gib}, llm = "{llm.id}"'
