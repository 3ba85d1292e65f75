"""Word error rates of what engines made of the prompts, each beside the last one.

Arguments: [--differences] FOLDER NAME=FILE... With the option the texts that differ are printed.
Case and punctuation do not count, "ё" is "е", and digits are spelled out on both sides.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import prompts
from num2words import num2words

RESAMPLED = 2000


@dataclass(frozen=True)
class Score:
    """What an engine made of one language; entry by entry the same prompts for all engines.

    Attributes:
        errors: words wrong, of each prompt.
        letters: characters wrong, of all.
        got: words of each prompt.
        seconds: of processor time, of all.
        audio_s: of all.
        sampled: prompts whose text was sampled at a temperature.
    """

    errors: list[int]
    letters: int
    got: list[list[str]]
    seconds: float
    audio_s: float
    sampled: int


def words(text: str, language: str) -> list[str]:
    """The words of a text that count."""
    spelled = re.sub(r"\d+", lambda m: f" {num2words(int(m[0]), lang=language)} ", text)
    return re.findall(r"[^\W_]+", spelled.lower().replace("ё", "е"))


def distance(expected: Sequence[str], got: Sequence[str]) -> int:
    """Substitutions, deletions and insertions that turn one into the other (Levenshtein)."""
    row = list(range(len(got) + 1))
    for i, want in enumerate(expected, 1):
        before, row[0] = row[0], i
        for j, word in enumerate(got, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (want != word))
    return row[-1]


def score(expected: list[list[str]], rows: list[prompts.Understood]) -> Score:
    """Compare with what was read."""
    got = [words(row.text, row.language) for row in rows]
    pairs = list(zip(expected, got, strict=True))
    return Score(
        errors=[distance(e, g) for e, g in pairs],
        letters=sum(distance("".join(e), "".join(g)) for e, g in pairs),
        got=got,
        seconds=sum(row.seconds for row in rows),
        audio_s=sum(row.audio_s for row in rows),
        sampled=sum(row.temperature > 0 for row in rows),
    )


def interval(ours: Score, theirs: Score, sizes: list[int]) -> tuple[float, float]:
    """95 % interval of the difference of two word error rates, in points (paired bootstrap)."""
    taken = np.random.default_rng(1).integers(0, len(sizes), (RESAMPLED, len(sizes)))
    difference = np.array(ours.errors) - np.array(theirs.errors)
    found = 100 * difference[taken].sum(axis=1) / np.array(sizes)[taken].sum(axis=1)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def differences(mine: list[list[str]], theirs: list[list[str]], names: Sequence[str]) -> None:
    """Print every text that two engines do not have in common."""
    for name, a, b in zip(names, mine, theirs, strict=True):
        if a != b:
            sys.stdout.write(f"    {name}: {' '.join(a)}\n    {' ' * len(name)}  {' '.join(b)}\n")


def main(*arguments: str) -> None:
    """Print a line for each language and engine."""
    shown = arguments[:1] == ("--differences",)
    folder, *named = arguments[shown:]
    texts = {(p.language, p.name): p.text for p in prompts.prompts(Path(folder))}
    results = {
        name: prompts.read(Path(file)) for name, _, file in (n.partition("=") for n in named)
    }
    for language in prompts.LANGUAGES:
        mine = {n: [r for r in rows if r.language == language] for n, rows in results.items()}
        rival = list(mine)[-1]
        expected = [words(texts[language, row.name], language) for row in mine[rival]]
        sizes = [len(e) for e in expected]
        scores = {name: score(expected, rows) for name, rows in mine.items()}
        for name, found in scores.items():
            line = (
                f"{language} {name:20} {len(sizes)} prompts, {found.audio_s:.0f} s:"
                f" WER {100 * sum(found.errors) / sum(sizes):.1f} %,"
                f" CER {100 * found.letters / sum(len(w) for e in expected for w in e):.1f} %,"
                f" {found.sampled} sampled, {found.seconds:.1f} processor s"
            )
            if name != rival:
                low, high = interval(found, scores[rival], sizes)
                equal = sum(a == b for a, b in zip(found.got, scores[rival].got, strict=True))
                line += (
                    f"; beside {rival}: {low:+.1f} to {high:+.1f} points (95 %),"
                    f" {equal} texts equal, {scores[rival].seconds / found.seconds:.2f}x as fast"
                )
            sys.stdout.write(f"{line}\n")
            if shown and name != rival:
                differences(found.got, scores[rival].got, [row.name for row in mine[rival]])


if __name__ == "__main__":
    main(*sys.argv[1:])
