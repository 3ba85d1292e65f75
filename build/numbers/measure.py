"""The figures of numbers in digits: kept phrases, plain sentences, numbers there and back."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from glagol.speech.text.digits import RULES_VERSION, in_digits
from glagol.speech.types import text_of
from speech.text.kept import meant, phrases, plain, said, spelled, written

EXACT_LEAST = 0.95
NUMBERS = 20_000
GREATEST = 999_999_999


def tell(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Print the figures; 1 where a bar is missed."""
    begun_s = time.process_time()
    wrong = 0
    for name in ("open", "held"):
        kept = phrases(name)
        found = [(spoken, text, written(spoken)) for spoken, text in kept]
        bad = [row for row in found if row[1] != row[2]]
        wrong += len(bad)
        tell(f"{name}: {len(kept) - len(bad)} of {len(kept)} phrases exact")
        for spoken, text, got in bad:
            tell(f"  {spoken}\n    expected {text}\n    written  {got}")
    sentences = plain()
    changed = [sentence for sentence in sentences if written(sentence) != sentence]
    tell(f"plain: {len(changed)} of {len(sentences)} sentences without numbers changed")
    draw = random.Random(RULES_VERSION)  # noqa: S311 - the same numbers on each run
    values = [*range(1000), *(draw.randrange(10 ** draw.randint(1, 9)) for _ in range(NUMBERS))]
    values.append(GREATEST)
    lost = [v for v in values if meant(text_of(in_digits(said(f"{spelled(v)} рублей")))) != v]
    tell(f"there and back: {len(values) - len(lost)} of {len(values)} numbers up to {GREATEST}")
    tell(f"processor seconds: {time.process_time() - begun_s:.1f}")
    exact = 1 - wrong / sum(len(phrases(name)) for name in ("open", "held"))
    return int(exact < EXACT_LEAST or bool(changed) or bool(lost))


if __name__ == "__main__":
    sys.exit(main())
