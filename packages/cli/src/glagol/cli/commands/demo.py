"""`glagol demo`: transcribe the bundled clip, and print its word error rate."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click

from glagol.cli.options import home_option
from glagol.core.errors import InputError
from glagol.models.home import load

__all__ = ["demo", "word_errors"]


@click.command(
    help="Transcribe the bundled clip; print the transcript, the expected text, and the WER."
)
@click.option("--model", help="Model id or alias; the manifest's default otherwise.")
@home_option
def demo(model: str | None, home: Path) -> None:
    """Transcribe the known-answer clip of a model and print text and word error rate.

    Raises:
        InputError: `option_invalid`, the model has no clip.
    """
    registry = load(home)
    entry = registry.model(model or registry.manifest.defaults.asr)
    if entry.golden is None:
        raise InputError(
            "option_invalid", f"{entry.id} has no known-answer clip", "choose another --model"
        )
    from glagol.speech.pipeline.recognizer import Recognizer

    began = time.perf_counter()
    recognizer = Recognizer.open(registry, model=entry.id)
    opened = time.perf_counter()
    transcript = recognizer.transcribe(io.BytesIO((home / entry.golden.audio).read_bytes()))
    done = time.perf_counter()
    said = (home / entry.golden.transcript).read_text(encoding="utf-8").strip()
    expected = _words(said)
    errors = word_errors(expected, _words(transcript.text))
    click.echo(f"transcript: {transcript.text}")
    click.echo(f"expected:   {said}")
    click.echo(
        f"{entry.id}: {transcript.duration_s:.1f} s of audio, opened in {opened - began:.2f} s,"
        f" transcribed in {done - opened:.2f} s, word error rate"
        f" {100 * errors / max(1, len(expected)):.1f} %"
    )
    if entry.note:
        click.echo(f"note: {entry.note}")


def _words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.casefold())


def word_errors(expected: Sequence[str], got: Sequence[str]) -> int:
    """Substitutions, deletions and insertions that turn `expected` into `got` (Levenshtein)."""
    row = list(range(len(got) + 1))
    for i, want in enumerate(expected, 1):
        previous, row[0] = row[0], i
        for j, word in enumerate(got, 1):
            previous, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, previous + (want != word)),
            )
    return row[-1]
