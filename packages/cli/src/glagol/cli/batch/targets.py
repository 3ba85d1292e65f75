"""Plan the output files: one for each recording and format, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from glagol.cli.batch.inputs import STDIN, Input
from glagol.core.errors import InputError
from glagol.speech.output.formats import FORMATS

__all__ = ["Existing", "Job", "planned"]

SHOWN_MAX: Final = 3


class Existing(Enum):
    """What to do with a result that exists."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Job:
    """A recording and its results.

    Attributes:
        input: The recording.
        targets: Format name to file; empty means standard output.
        done: Whether every result exists and is skipped.
    """

    input: Input
    targets: tuple[tuple[str, Path], ...] = ()
    done: bool = False


def planned(
    inputs: Sequence[Input],
    forms: Sequence[str],
    place: Path,
    existing: Existing,
    *,
    folder: bool = False,
) -> tuple[Job, ...]:
    """Plan the output files of each recording.

    Args:
        inputs: The recordings.
        forms: Names of formats.
        place: A folder, or with one recording and one format a file: a path with a suffix that
            is not a folder.
        existing: What to do with results that exist.
        folder: Whether `place` is a folder, even if its name has a suffix.

    Raises:
        InputError: `option_invalid`, two results would have one name; `output_exists`.
    """
    if not folder and len(inputs) == len(forms) == 1 and place.suffix and not place.is_dir():
        jobs = [Job(inputs[0], ((forms[0], place),))]
    else:
        jobs = [
            Job(each, tuple((form, place / f"{stem}{FORMATS[form].extension}") for form in forms))
            for each, stem in zip(inputs, _stems(inputs), strict=True)
        ]
    paths = Counter(path for job in jobs for _, path in job.targets)
    if twice := next((path for path, count in paths.items() if count > 1), None):
        raise InputError(
            "option_invalid",
            f"several inputs would be written to {twice}"
            if len(forms) == 1
            else f"several results would be written to {twice}",
            "give them different names, or transcribe them one after the other",
        )
    if existing is Existing.SKIP:
        return tuple(
            Job(job.input, job.targets, all(path.exists() for _, path in job.targets))
            for job in jobs
        )
    there = [path for path in paths if path.exists()]
    if there and existing is Existing.REFUSE:
        more = f" and {len(there) - SHOWN_MAX} more" if len(there) > SHOWN_MAX else ""
        raise InputError(
            "output_exists",
            f"{', '.join(map(str, there[:SHOWN_MAX]))}{more} would be overwritten",
            "add --skip-existing to do only the rest, or --force to overwrite",
        )
    return tuple(jobs)


def _stems(inputs: Sequence[Input]) -> list[Path]:
    """Result names without suffix; recordings that differ only in their suffix keep it."""
    plain = [each.folder / _stem(each.name) for each in inputs]
    twice = Counter(plain)
    return [
        each.folder / Path(each.name).name if twice[stem] > 1 and each.name != STDIN else stem
        for each, stem in zip(inputs, plain, strict=True)
    ]


def _stem(name: str) -> str:
    return Path(name).stem if name != STDIN else "stdin"
