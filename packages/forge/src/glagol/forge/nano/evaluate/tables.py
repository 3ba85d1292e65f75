"""Results of an evaluation as JSON and as markdown tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glagol.forge.nano.evaluate.evaluation import Recogniser, evaluate
from glagol.forge.nano.evaluate.score import Score
from glagol.forge.nano.evaluate.suites import Case


@dataclass(frozen=True)
class Row:
    """The scores of every recogniser on one case."""

    case: Case
    scores: dict[str, Score]


def measure(
    recognisers: dict[str, Recogniser], cases: Sequence[Case], report: Callable[[str], None]
) -> list[Row]:
    """Score each recogniser on each case and report the rows as they come."""
    rows = []
    for case in cases:
        scores = {name: evaluate(each, case.clips) for name, each in recognisers.items()}
        rows.append(Row(case, scores))
        scores_text = ", ".join(f"{name} {_cell(found)}" for name, found in scores.items())
        report(f"{case.group} / {case.name} ({len(case.clips)} clips): {scores_text}")
    return rows


def _cell(found: Score) -> str:
    return f"{found.wer:.1f} / {found.cer:.2f}"


def markdown(rows: Sequence[Row]) -> str:
    """Return a table: WER / CER in percent by case and recogniser."""
    names = list(rows[0].scores) if rows else []
    lines = [
        "| group | case | clips | hours | " + " | ".join(names) + " |",
        "|---|---|--:|--:|" + "--:|" * len(names),
    ]
    for row in rows:
        case = row.case
        cells = " | ".join(_cell(row.scores[name]) for name in names)
        hours = f"{case.hours:.2f}"
        lines.append(f"| {case.group} | {case.name} | {len(case.clips)} | {hours} | {cells} |")
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], weights_sha256: str) -> str:
    """Return the rows with error counts, so that any rate can be computed again."""
    found = [
        {
            "group": row.case.group,
            "case": row.case.name,
            "recogniser": name,
            "clips": each.clips,
            "hours": round(row.case.hours, 4),
            "word_errors": each.word_errors,
            "words": each.words,
            "letter_errors": each.letter_errors,
            "letters": each.letters,
            "wer_percent": round(each.wer, 3),
            "cer_percent": round(each.cer, 3),
        }
        for row in rows
        for name, each in row.scores.items()
    ]
    body = {"weights_sha256": weights_sha256, "rows": found}
    return json.dumps(body, ensure_ascii=False, indent=1) + "\n"
