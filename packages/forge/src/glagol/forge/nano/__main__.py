"""Command line of the recipe: ``python -m glagol.forge.nano COMMAND --help``."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path

from glagol.forge.nano import system
from glagol.forge.nano.evaluate.evaluation import Recogniser
from glagol.forge.nano.speech import synthesis
from glagol.forge.nano.text import pools

PROGRAM = "glagol.forge.nano"
STARTED = time.monotonic()


def report(line: str) -> None:
    """Print a line of progress with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:8.1f} s  {line}", flush=True)


def text(options: argparse.Namespace) -> None:
    """Build the text pools."""
    folder, own = options.work / "text", options.own_text
    pools.build(folder, pools.PoolSizes(), options.seed, report, own)


def synth(options: argparse.Namespace) -> None:
    """Speak the tests, then the training text."""
    folder, source = options.work / "speech", options.work / "text"
    synthesis.synthesise_tests(folder, source, pools.HeldOutMix(), options.seed, report)
    plan = synthesis.Plan(options.espeak_sentences, options.festival_sentences)
    shards = synthesis.plan_shards(folder, source, plan, options.seed)
    synthesis.synthesise_training(shards, options.jobs, report)


def _phase(options: argparse.Namespace, phase: str) -> None:
    import torch

    from glagol.forge.nano import sizes
    from glagol.forge.nano.evaluate import recognisers
    from glagol.forge.nano.seeds import derive
    from glagol.forge.nano.speech.clips import read_shards
    from glagol.forge.nano.train import loop, losses, process, weights

    system.require(system.COMPILER if options.compile else ())
    process.prepare()
    process.set_threads(options.threads)
    torch.manual_seed(options.seed)
    model = sizes.build(sizes.TRAINED)
    settings = loop.Settings(
        checkpoint=options.work / f"{phase}.pt",
        minutes=options.minutes,
        steps=options.steps,
        batch_seconds=options.batch_seconds,
        peak_rate=options.rate,
        seed=derive(options.seed, phase),
        device=options.device,
        compiled=options.compile,
        until=options.until,
        eager=() if phase == "ctc" else ("rnnt.",),
    )
    speech = options.work / "speech"
    tests = {name: read_shards(speech, f"test-{name}")[:150] for name in ("seen", "unseen")}
    heads = ("ctc",) if phase == "ctc" else ("ctc", "rnnt")
    judge = recognisers.quick_judge(tests, heads, options.device)
    if phase == "ctc":
        trainer = loop.Trainer(model, ("encoder.", "ctc."), losses.ctc_objective, settings)
    else:
        all_parts = ("encoder.", "ctc.", "rnnt.")
        trainer = loop.Trainer(model, all_parts, losses.joint_objective, settings)
    if trainer.resume():
        report(f"resumed at step {trainer.tally.step}")
    elif phase == "rnnt":
        state = torch.load(options.work / "ctc.pt", weights_only=True)
        model.load_state_dict(state["model"])
    elif options.warm_start:
        model.load_state_dict(weights.warm_start(options.warm_start))
    report(f"before: {judge(model)}")
    trainer.run(lambda: read_shards(speech, "train-*"), judge, report)


def train(options: argparse.Namespace) -> None:
    """Train the encoder and its CTC head."""
    _phase(options, "ctc")


def rnnt(options: argparse.Namespace) -> None:
    """Train the RNN-T head together with the encoder and the CTC head of ``train``."""
    _phase(options, "rnnt")


def export(options: argparse.Namespace) -> None:
    """Write weights, configuration and golden clip from the last checkpoint."""
    from glagol.forge.nano.release import release

    system.require(system.SPEECH)
    release(options.work / "rnnt.pt", options.model, report)


def evaluate(options: argparse.Namespace) -> None:
    """Make the test clips anew if absent and score the exported weights on them.

    With ``--engine`` the artifacts that were built from the weights are scored, as users run them.
    """
    from glagol.forge.nano.evaluate import suites, tables
    from glagol.forge.nano.train import process

    process.set_threads(options.threads)
    if not (options.work / "text" / "test.tsv").exists():
        text(options)
    folder = options.work / "speech"
    source = options.work / "text"
    synthesis.synthesise_tests(folder, source, pools.HeldOutMix(), options.seed, report)
    path = options.model / "weights.safetensors"
    heads = _engine(options) if options.engine else _reference(path)
    rows = tables.measure(heads, suites.cases(folder), report)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    results = options.results or options.work / "evaluation.json"
    results.write_text(tables.as_json(rows, digest), encoding="utf-8")
    print(f"weights sha256 {digest}\n\nWER / CER, percent, greedy:\n\n{tables.markdown(rows)}")
    report(f"results: {results}")


def _reference(path: Path) -> dict[str, Recogniser]:
    from glagol.forge.nano import sizes
    from glagol.forge.nano.evaluate import recognisers
    from glagol.forge.nano.train import weights

    model = sizes.build(sizes.SHIPPED).eval()
    model.load_state_dict(weights.load_exported(path))
    return {head.upper(): recognisers.torch_recogniser(model, head) for head in ("ctc", "rnnt")}


def _engine(options: argparse.Namespace) -> dict[str, Recogniser]:
    from glagol.forge.nano.evaluate.engine import engine_recognisers

    return engine_recognisers(options.model.resolve().parents[1], options.threads)


def everything(options: argparse.Namespace) -> None:
    """Run the whole recipe in order, each command in a process of its own."""
    shared = ["--work", str(options.work), "--seed", str(options.seed)]
    shared += ["--own-text"] if options.own_text else []
    model = ["--model", str(options.model)]
    warm = ["--warm-start", str(options.warm_start)] if options.warm_start else []
    for step in (["text"], ["synth"], ["train", *warm], ["rnnt"]):
        subprocess.run([sys.executable, "-m", PROGRAM, *step, *shared], check=True)
    for step in (["export"], ["eval"]):
        subprocess.run([sys.executable, "-m", PROGRAM, *step, *shared, *model], check=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, default=Path(".work/nano"), help="scratch folder")
    common.add_argument(
        "--own-text",
        action="store_true",
        help="no sentences of other authors: templates, numbers and dictionary words only",
    )
    common.add_argument("--seed", type=int, default=20261121, help="seed of every draw")
    top = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("text", parents=[common], help="build the text pools")
    one.set_defaults(run=text)
    one = commands.add_parser("synth", parents=[common], help="synthesise speech, resumably")
    one.add_argument("--jobs", type=int, default=2, help="processes")
    one.add_argument("--espeak-sentences", type=int, default=0, help="0: all")
    one.add_argument("--festival-sentences", type=int, default=6000)
    one.set_defaults(run=synth)
    phases = (("train", train, 140.0, 2.5e-3, 0.6), ("rnnt", rnnt, 50.0, 1e-3, 1.0))
    for name, run, minutes, rate, until in phases:
        one = commands.add_parser(name, parents=[common], help=run.__doc__)
        one.add_argument("--minutes", type=float, default=minutes, help="wall clock to spend")
        one.add_argument("--steps", type=int, default=0, help="instead of minutes")
        one.add_argument("--until", type=float, default=until, help="share of the course to end at")
        one.add_argument("--rate", type=float, default=rate, help="peak learning rate")
        one.add_argument("--batch-seconds", type=float, default=110.0, help="audio in a step")
        one.add_argument("--threads", type=int, default=1)
        one.add_argument("--device", default="cpu", help="cpu or cuda")
        one.add_argument("--no-compile", dest="compile", action="store_false")
        one.add_argument("--warm-start", type=Path, help="folder of weights to start from")
        one.set_defaults(run=run)
    for name, run in (("export", export), ("eval", evaluate), ("all", everything)):
        one = commands.add_parser(name, parents=[common], help=run.__doc__)
        one.add_argument("--model", type=Path, default=Path("models/gigaam-nano"))
        one.add_argument("--threads", type=int, default=1)
        if name == "eval":
            one.add_argument("--engine", action="store_true", help="score the built artifacts")
            one.add_argument("--results", type=Path, help="JSON file of error counts to write")
        if name == "all":
            one.add_argument("--warm-start", type=Path, help="folder of weights to start from")
        one.set_defaults(run=run)
    return top


def main() -> int:
    """Run one command; 2 when packages are missing."""
    options = parser().parse_args()
    try:
        options.run(options)
    except system.MissingPackagesError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
