"""Training and test speech: seeded, in shards that resume where they stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from glagol.forge.nano import system
from glagol.forge.nano.seeds import stream
from glagol.forge.nano.speech.clips import Clip, write_shard
from glagol.forge.nano.speech.voices import (
    DEFAULT_VOICE,
    HELD_OUT_VOICES,
    SEEN_VOICES,
    Festival,
    Manner,
    espeak,
)
from glagol.forge.nano.text import pools
from glagol.forge.nano.text.cleaning import Sentence

FESTIVAL = "festival"
UNPUNCTUATED_SHARE = 0.25
Report = Callable[[str], None]


@dataclass(frozen=True)
class Shard:
    """One piece of work: which sentences, which synthesiser, where to."""

    name: str
    sentences: tuple[Sentence, ...]
    first: int
    engine: str
    folder: Path
    seed: int


def draw_manner(draw: random.Random, voices: tuple[str, ...]) -> Manner:
    """Draw a voice, a speed (about 165 words a minute, 105 to 235) and a pitch (15 to 85)."""
    speed = round(min(max(draw.gauss(165, 28), 105), 235))
    return Manner(draw.choice(voices), speed, draw.randint(15, 85))


def speak_espeak(
    sentences: tuple[Sentence, ...], first: int, seed: int, voices: tuple[str, ...], name: str
) -> Iterator[Clip]:
    """Yield a clip for each sentence; the draws depend on its number, not on its shard."""
    for number, sentence in enumerate(sentences, start=first):
        draw = stream(seed, name, number)
        manner = draw_manner(draw, voices)
        bare = name == "train" and draw.random() < UNPUNCTUATED_SHARE
        text = sentence.target if bare else sentence.spoken
        label = f"espeak:{manner.voice or 'ru'}"
        yield Clip(espeak(text, manner), label, sentence.pool, sentence.target)


def speak_festival(
    sentences: tuple[Sentence, ...], first: int, seed: int, spread: float
) -> Iterator[Clip]:
    """Yield a clip for each sentence at a pace of 1 - spread to 1 + spread."""
    festival = Festival()
    try:
        for number, sentence in enumerate(sentences, start=first):
            stretch = stream(seed, FESTIVAL, number).uniform(1 - spread, 1 + spread)
            pcm = festival.speak(sentence.spoken, stretch)
            yield Clip(pcm, FESTIVAL, sentence.pool, sentence.target)
    finally:
        festival.close()


def run_shard(shard: Shard) -> str:
    """Synthesise one training shard and return a line about it."""
    if shard.engine == FESTIVAL:
        clips = speak_festival(shard.sentences, shard.first, shard.seed, 0.22)
    else:
        clips = speak_espeak(shard.sentences, shard.first, shard.seed, SEEN_VOICES, "train")
    kept, dropped, hours = write_shard(shard.folder / shard.name, clips)
    return f"{shard.name}: {kept} clips, {hours:.2f} h, {dropped} dropped"


@dataclass(frozen=True)
class Plan:
    """How much to speak: sentences for espeak-ng (all when 0), sentences for festival."""

    espeak_sentences: int = 0
    festival_sentences: int = 6000
    shard_sentences: int = 2000


def plan_shards(folder: Path, text: Path, plan: Plan, seed: int) -> list[Shard]:
    """Return the training shards not yet on disk; festival reads the list from its end."""
    sentences = pools.read_sentences(text / "train.tsv")
    work = {
        "espeak": sentences[: plan.espeak_sentences or len(sentences)],
        FESTIVAL: sentences[::-1][: plan.festival_sentences],
    }
    shards = []
    for engine, chosen in work.items():
        for first in range(0, len(chosen), plan.shard_sentences):
            name = f"train-{engine}-{first // plan.shard_sentences:03d}"
            if not (folder / f"{name}.tsv").exists():
                part = tuple(chosen[first : first + plan.shard_sentences])
                shards.append(Shard(name, part, first, engine, folder, seed))
    return shards


def synthesise_training(shards: list[Shard], jobs: int, report: Report) -> None:
    """Synthesise shards in ``jobs`` processes. Raises MissingPackagesError, OSError."""
    system.require(system.SPEECH)
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        waiting = [pool.submit(run_shard, shard) for shard in shards]
        for number, done in enumerate(as_completed(waiting), start=1):
            report(f"[{number}/{len(shards)}] {done.result()}")


def synthesise_tests(
    folder: Path, text: Path, mix: pools.HeldOutMix, seed: int, report: Report
) -> None:
    """Write the test shards, always the same for the same text and seed.

    ``seen`` and ``unseen`` speak the same sentences with trained and with held-out voices.
    """
    system.require(system.SPEECH)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = pools.choose_tests(pools.read_sentences(text / "test.tsv"), mix)
    main = tuple(chosen["main"])
    wanted = {
        "seen": (main, SEEN_VOICES),
        "unseen": (main, HELD_OUT_VOICES),
        "default": (main[:300], (DEFAULT_VOICE,)),
        "number": (tuple(chosen[pools.NUMBER]), SEEN_VOICES),
        "meeting": (tuple(chosen[pools.MEETING]), SEEN_VOICES),
        "words": (tuple(chosen[pools.WORDS]), SEEN_VOICES),
    }
    for name, (sentences, voices) in wanted.items():
        if not (folder / f"test-{name}.tsv").exists():
            clips = speak_espeak(sentences, 0, seed, voices, f"test-{name}")
            kept, dropped, hours = write_shard(folder / f"test-{name}", clips)
            report(f"test-{name}: {kept} clips, {hours:.2f} h, {dropped} dropped")
    if not (folder / "test-festival.tsv").exists():
        clips = speak_festival(main[:200], 0, seed, 0.0)
        kept, dropped, hours = write_shard(folder / "test-festival", clips)
        report(f"test-festival: {kept} clips, {hours:.2f} h, {dropped} dropped")
