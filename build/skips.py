#!/usr/bin/env python3
"""build/skips.py LOG...: counts what was skipped and why; fails on a skip that is not allowed.

Tests and proofs print `SKIPPED: SOURCE: REASON`, tests with `: COUNT` at the end, as in
tests/conftest.py. tests/skips.toml lists the reasons that are allowed; where an entry has `here`, a
shell command, the skip is wrong as soon as that command succeeds: what was missing is on this
machine. Exit status 1 when a skip is not listed or is wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/skips.toml"
LINE = re.compile(r"SKIPPED: (?P<source>[\w-]+): (?P<reason>.*)")
COUNT = re.compile(r"(?P<reason>.*): (?P<count>\d+)")


@dataclass(frozen=True, slots=True)
class Allowed:
    """A skip that may be.

    Attributes:
        source: regular expression of "test", or of the name of a proof.
        reason: regular expression of the whole reason.
        why: when it is allowed.
        here: shell command that succeeds where nothing is missing; empty where none can tell.
    """

    source: str
    reason: str
    why: str
    here: str = ""

    def fits(self, source: str, reason: str) -> bool:
        """Whether this is that skip."""
        return all(
            re.fullmatch(pattern, text)
            for pattern, text in ((self.source, source), (self.reason, reason))
        )

    def wrong(self) -> bool:
        """Whether what is said to be missing is here."""
        return (
            bool(self.here)
            and not subprocess.run(
                ["sh", "-c", self.here], cwd=ROOT, capture_output=True, check=False
            ).returncode
        )


def read(text: str) -> list[Allowed]:
    """The entries of the list.

    Raises:
        TypeError: an entry has another key, or lacks one.
    """
    return [Allowed(**entry) for entry in tomllib.loads(text)["skip"]]


def counted(log: str) -> Counter[tuple[str, str]]:
    """How often each source and reason came."""
    found: Counter[tuple[str, str]] = Counter()
    for line in log.splitlines():
        if not (match := LINE.fullmatch(line.strip())):
            continue
        source, reason, times = match["source"], match["reason"], 1
        if source == "test" and (ends := COUNT.fullmatch(reason)):
            reason, times = ends["reason"], int(ends["count"])
        found[source, reason] += times
    return found


def judged(
    found: Counter[tuple[str, str]], allowed: list[Allowed]
) -> list[tuple[int, str, str, str]]:
    """Count, source, reason and complaint of each skip; no complaint where it is allowed."""
    lines = []
    for (source, reason), count in sorted(found.items()):
        entry = next((each for each in allowed if each.fits(source, reason)), None)
        complaint = ""
        if entry is None:
            complaint = "NOT IN tests/skips.toml"
        elif entry.wrong():
            complaint = f"WRONG, it is here: {entry.here}"
        lines.append((count, source, reason, complaint))
    return lines


def main() -> int:
    """Print the table; 1 when a skip may not be."""
    logs = [Path(name).read_text(errors="replace") for name in sys.argv[1:]]
    lines = judged(counted("\n".join(logs)), read(LIST.read_text()))
    wrong = sum(bool(complaint) for *_, complaint in lines)
    total = sum(count for count, *_ in lines)
    sys.stdout.write(f"{total} skipped, for {len(lines)} reasons\n")
    for count, source, reason, complaint in lines:
        sys.stdout.write(f"{count:6} {source}: {reason}{complaint and f'  [{complaint}]'}\n")
    if wrong:
        sys.stdout.write(
            f"FAILED: {wrong} reasons may not be\n"
            "  what to do: bring what is missing, or list the reason in tests/skips.toml\n"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
