"""Plants faults and demands that proofs fail: build/proof-proofs.

tests/faults.toml lists the claims of docs/proofs.md, README.md and ARCHITECTURE.md. A row has a
fault (a text of one file, and what takes its place), the command that must fail then, and words
that its output must hold. Each fault is planted alone, in a clone of the working tree. A claim that
is not listed, a fault that fits no longer, and a proof that passes, or fails for another reason,
end with status 1.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = "tests/faults.toml"
PATIENCE_S = 1800
# one way for each document in which a claim is written
CLAIMS = {
    "docs/proofs.md": r"\n\| (?!claim|-)(.*?) \|",
    "README.md": r"\n- \*\*(.*?)\*\*",
    "ARCHITECTURE.md": r"\n- \*\*Invariant:\*\* (.*)",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break what claims say.

    Attributes:
        claims: the claims that the proof shows, or their beginnings.
        file: in which the fault is planted.
        old: text of the file, there once.
        new: what takes its place.
        proof: shell command that must fail then, in the clone.
        names: regular expression that its output must match.
        quick: whether GLAGOL_FAULTS=quick plants it too.
    """

    claims: tuple[str, ...]
    file: str
    old: str
    new: str
    proof: str
    names: str
    quick: bool = True

    def planted(self, text: str) -> str:
        """The file's text with the fault. Raises ValueError when its place is not there once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {self.old!r} {text.count(self.old)} times")
        return text.replace(self.old, self.new)


def table(root: Path) -> tuple[list[Fault], Mapping[str, list[str]]]:
    """The faults, and by the reason why not: claims for which none is planted."""
    rows = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    return [Fault(**{**row, "claims": tuple(row["claims"])}) for row in rows["fault"]], rows["open"]


def claims(root: Path) -> list[str]:
    """Every claim of the documents, an invariant by its first line."""
    return [
        claim
        for name, pattern in CLAIMS.items()
        for claim in re.findall(pattern, (root / name).read_text(encoding="utf-8"))
    ]


def unlisted(root: Path) -> list[str]:
    """What does not agree: claims that no row of the table has, and rows of no claim."""
    faults, without = table(root)
    listed = [claim for fault in faults for claim in fault.claims]
    listed += [claim for names in without.values() for claim in names]
    made = claims(root)
    wrong = [f"no row: {one}" for one in made if not any(one.startswith(key) for key in listed)]
    return wrong + [
        f"no claim: {key}" for key in listed if not any(one.startswith(key) for one in made)
    ]


def clone(place: Path) -> None:
    """Clone this commit with the working tree's changes, on this checkout's environments."""
    subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(place)], check=True)
    changes = subprocess.run(
        ["git", "diff", "--binary", "HEAD"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    if changes:
        subprocess.run(["git", "apply", "-"], cwd=place, input=changes, check=True)
    for name in (".env", ".tools", "store"):
        (place / name).symlink_to(ROOT / name)


def shown(fault: Fault, place: Path) -> str:
    """Plant a fault, run its proof, take it out again; why the proof did not show it, or nothing.

    Raises:
        ValueError: the fault does not fit its file.
    """
    path = place / fault.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(fault.planted(sound), encoding="utf-8")
    try:
        done = subprocess.run(
            ["bash", "-c", fault.proof],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        path.write_text(sound, encoding="utf-8")
    if done.returncode == 0:
        return "the proof passed"
    if not re.search(fault.names, done.stdout):
        return f"the proof failed without {fault.names!r}:\n{done.stdout[-2000:]}"
    return ""


def main(wanted: list[str]) -> int:
    """Plant the faults of claims that begin with one of `wanted`, or all; 0 when all were shown."""
    faults, without = table(ROOT)
    wrong = unlisted(ROOT)
    quick = os.environ.get("GLAGOL_FAULTS") == "quick"
    chosen = [fault for fault in faults if fault.quick or not quick]
    if wanted:
        chosen = [f for f in faults if any(c.startswith(w) for c in f.claims for w in wanted)]
    with tempfile.TemporaryDirectory(prefix="glagol-faults-") as folder:
        place = Path(folder) / "clone"
        clone(place)
        for fault in chosen:
            began = time.monotonic()
            try:
                why = shown(fault, place)
            except (ValueError, OSError, subprocess.TimeoutExpired) as error:
                why = str(error)
            state, took = "NOT SHOWN" if why else "shown", time.monotonic() - began
            sys.stdout.write(f"{state}: {fault.claims[0]} ({took:.0f} s) {why}\n")
            sys.stdout.flush()
            wrong += [fault.claims[0]] if why else []
    for reason, names in without.items():
        sys.stdout.write(f"no fault planted, {reason}: {len(names)}\n")
    end = "\n".join(["wrong:", *wrong]) if wrong else f"{len(chosen)} faults, each one shown"
    sys.stdout.write(f"{end}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
