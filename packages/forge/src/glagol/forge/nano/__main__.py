"""Command line of the recipe: ``python -m glagol.forge.nano COMMAND --help``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from glagol.forge.nano import pools, synthesis
from glagol.forge.nano.system import MissingPackagesError

STARTED = time.monotonic()


def report(line: str) -> None:
    """Print a line of progress with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:8.1f} s  {line}", flush=True)


def text(options: argparse.Namespace) -> None:
    """Build the text pools."""
    pools.build(options.work / "text", pools.PoolSizes(), options.seed, report)


def synth(options: argparse.Namespace) -> None:
    """Speak the tests, then the training text."""
    folder, source = options.work / "speech", options.work / "text"
    synthesis.synthesise_tests(folder, source, pools.HeldOutMix(), options.seed, report)
    plan = synthesis.Plan(options.espeak_sentences, options.festival_sentences)
    shards = synthesis.plan_shards(folder, source, plan, options.seed)
    synthesis.synthesise_training(shards, options.jobs, report)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, default=Path(".work/nano"), help="scratch folder")
    common.add_argument("--seed", type=int, default=20261121, help="seed of every draw")
    top = argparse.ArgumentParser(prog="glagol.forge.nano", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("text", parents=[common], help="build the text pools")
    one.set_defaults(run=text)
    one = commands.add_parser("synth", parents=[common], help="synthesise speech, resumably")
    one.add_argument("--jobs", type=int, default=2, help="processes")
    one.add_argument("--espeak-sentences", type=int, default=0, help="0: all")
    one.add_argument("--festival-sentences", type=int, default=6000)
    one.set_defaults(run=synth)
    return top


def main() -> int:
    """Run one command; 2 when packages are missing."""
    options = parser().parse_args()
    try:
        options.run(options)
    except MissingPackagesError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
