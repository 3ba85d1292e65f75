"""Diarization of recordings with answers, by the pipeline that serves; a line for each set.

    measure.py FILE.wav...      each with FILE.rttm beside it; a set is a name up to its digits

Prints recordings, right counts of speakers, error rates at collar 0 and 0.25 s, and processor
seconds per second of audio (decoding included, one thread). Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from der import Errors, errors, read

from glagol.models.home import load
from glagol.speech.audio.decode import decode
from glagol.speech.speakers.families import SpeakerModel, opened
from glagol.speech.speakers.types import Bounds


class Bar(NamedTuple):
    """What a set must reach: least share of right counts, most error at collars 0 and 0.25 s."""

    right: float
    rate: float
    rate_collar: float


BARS = {
    "sample": Bar(1.0, 0.06, 0.005),
    "gaps-": Bar(0.95, 1.0, 0.04),
    "tight-": Bar(0.85, 1.0, 0.12),
}
CPU_MAX = 0.07


class Row(NamedTuple):
    """One recording's result."""

    right: bool
    strict: Errors
    collar: Errors
    cpu: float


def measured(path: Path, model: SpeakerModel) -> Row:
    """Diarize one recording and compare it with its answer."""
    began = time.process_time()
    diarizer, samples = model.begin(), 0
    with path.open("rb") as file:
        for block in decode(file, max_seconds=86_400.0):
            diarizer.push(block)
            samples += len(block)
    found = diarizer.finish(Bounds())
    cpu = (time.process_time() - began) / (samples / 16_000)
    answer = read(path.with_suffix(".rttm"))
    guessed = [(turn.start, turn.end, str(turn.person)) for turn in found.turns]
    right = found.people == len({name for _, _, name in answer})
    return Row(right, errors(answer, guessed, 0.0), errors(answer, guessed, 0.25), cpu)


def main() -> int:
    """Measure the recordings of the command line."""
    model = opened(load(Path()))
    sets: dict[str, list[Row]] = defaultdict(list)
    for name in sys.argv[1:]:
        path = Path(name)
        sets[re.split(r"\d", path.stem)[0]].append(measured(path, model))
    missed = False
    for name, rows in sets.items():
        strict, collar = rows[0].strict, rows[0].collar
        for row in rows[1:]:
            strict, collar = strict + row.strict, collar + row.collar
        right, cpu = sum(row.right for row in rows), sum(row.cpu for row in rows) / len(rows)
        sys.stdout.write(
            f"{name.rstrip('-')}: {len(rows)} recordings, {right} right counts,"
            f" DER {100 * strict.rate:.2f} % (missed {100 * strict.missed / strict.total:.2f},"
            f" false {100 * strict.false / strict.total:.2f},"
            f" confused {100 * strict.confused / strict.total:.2f}),"
            f" at collar 0.25 s {100 * collar.rate:.2f} %, {cpu:.4f} processor seconds a second\n"
        )
        bar = BARS.get(name, Bar(0.0, 1.0, 1.0))
        reached = right >= bar.right * len(rows) and strict.rate <= bar.rate
        if not (reached and collar.rate <= bar.rate_collar and cpu <= CPU_MAX):
            sys.stdout.write(f"{name.rstrip('-')}: misses {bar}, {CPU_MAX} processor seconds\n")
            missed = True
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
