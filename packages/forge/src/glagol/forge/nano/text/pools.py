"""The text pools of training and tests, kept apart by the hold-out rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from glagol.forge.nano import system
from glagol.forge.nano.seeds import stream
from glagol.forge.nano.text import sources, templates
from glagol.forge.nano.text.cleaning import Sentence, clean, held_out, split_sentences, unique
from glagol.forge.nano.text.dictionary import Dictionary
from glagol.forge.nano.text.spoken import number_sentence

APHORISM, DOCUMENTATION, WORDS = "aphorism", "documentation", "words"
NUMBER, TEMPLATE, MEETING = "number", "template", "meeting"


@dataclass(frozen=True)
class PoolSizes:
    """How many sentences are drawn where the supply has no end of its own."""

    words: int = 46000
    numbers: int = 12000
    per_everyday: int = 70
    per_story: int = 260
    per_meeting: int = 6


@dataclass(frozen=True)
class HeldOutMix:
    """How many held-out sentences of each pool make the main test, as the pools are in size."""

    aphorism: int = 520
    documentation: int = 330
    number: int = 130
    template: int = 70


Report = Callable[[str], None]


def _natural(pool: str, texts: Iterable[str], dictionary: Dictionary) -> list[Sentence]:
    return unique(
        clean(pool, sentence, dictionary) for text in texts for sentence in split_sentences(text)
    )


def _word_sequences(dictionary: Dictionary, count: int, seed: int) -> list[Sentence]:
    draw = stream(seed, "text", WORDS)
    forms, lemmas = dictionary.speakable, dictionary.lemmas
    found = []
    for _ in range(count):
        chosen = [
            draw.choice(forms) if draw.random() < 0.8 else draw.choice(lemmas)
            for _ in range(draw.randint(3, 7))
        ]
        text = " ".join(chosen)
        if len(text) < 100:
            found.append(Sentence(WORDS, text, text))
    return unique(found)


def _filled(
    pool: str, patterns: tuple[str, ...], each: int, dictionary: Dictionary, seed: int
) -> list[Sentence]:
    draw = stream(seed, "text", pool, len(patterns))
    return unique(
        clean(pool, templates.fill(pattern, draw), dictionary)
        for pattern in patterns
        for _ in range(each)
    )


def _borrowed(dictionary: Dictionary) -> dict[str, list[Sentence]]:
    pages = [*sources.manuals(system.MANUALS), *sources.help_pages(system.GIMP_HELP)]
    return {
        APHORISM: _natural(APHORISM, sources.aphorisms(system.FORTUNES), dictionary),
        DOCUMENTATION: _natural(DOCUMENTATION, pages, dictionary),
    }


def read_pools(sizes: PoolSizes, seed: int, own_text: bool = False) -> dict[str, list[Sentence]]:
    """Return every pool of text, each in an order of its own drawn from the seed.

    ``own_text`` leaves out the sentences of other authors (aphorisms, documentation).
    Raises MissingPackagesError when a text package is not installed.
    """
    system.require(system.WORDS if own_text else system.WORDS + system.TEXT)
    dictionary = Dictionary(system.HUNSPELL_AFFIXES, system.HUNSPELL_WORDS)
    draw = stream(seed, "text", NUMBER)
    pools = {
        **({} if own_text else _borrowed(dictionary)),
        WORDS: _word_sequences(dictionary, sizes.words, seed),
        NUMBER: unique(
            clean(NUMBER, number_sentence(draw), dictionary) for _ in range(sizes.numbers)
        ),
        TEMPLATE: unique(
            _filled(TEMPLATE, templates.EVERYDAY, sizes.per_everyday, dictionary, seed)
            + _filled(TEMPLATE, templates.STORIES, sizes.per_story, dictionary, seed)
        ),
        MEETING: _filled(MEETING, templates.MEETINGS, sizes.per_meeting, dictionary, seed),
    }
    for name, sentences in pools.items():
        stream(seed, "order", name).shuffle(sentences)
    return pools


def split_pools(pools: dict[str, list[Sentence]]) -> tuple[list[Sentence], list[Sentence]]:
    """Return training and held-out sentences; no target stands in both, even with ё read as е."""
    train: list[Sentence] = []
    test: list[Sentence] = list(pools[MEETING])
    for name, sentences in pools.items():
        if name == MEETING:
            continue
        for sentence in sentences:
            (test if held_out(sentence.target) else train).append(sentence)
    trained = {sentence.target.replace("ё", "е") for sentence in train}
    return train, [item for item in test if item.target.replace("ё", "е") not in trained]


def choose_tests(test: list[Sentence], mix: HeldOutMix) -> dict[str, list[Sentence]]:
    """Return the sentences of each test set by name; ``main`` is the mix, in a fixed order."""
    by_pool: dict[str, list[Sentence]] = {}
    for sentence in test:
        by_pool.setdefault(sentence.pool, []).append(sentence)
    main = [item for name, count in asdict(mix).items() for item in by_pool.get(name, [])[:count]]
    stream(0, "order", "main test").shuffle(main)
    return {
        "main": main,
        WORDS: by_pool.get(WORDS, [])[:150],
        NUMBER: by_pool.get(NUMBER, []),
        MEETING: by_pool.get(MEETING, []),
    }


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write one sentence per line: pool, spoken form, target, parted by tabs."""
    lines = (f"{item.pool}\t{item.spoken}\t{item.target}\n" for item in sentences)
    path.write_text("".join(lines), encoding="utf-8")


def read_sentences(path: Path) -> list[Sentence]:
    """Read what ``write_sentences`` wrote. Raises OSError, ValueError on a broken line."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        pool, spoken, target = line.split("\t")
        found.append(Sentence(pool, spoken, target))
    return found


def build(
    folder: Path, sizes: PoolSizes, seed: int, report: Report, own_text: bool = False
) -> None:
    """Write ``train.tsv`` and ``test.tsv`` into the folder and report their sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = split_pools(read_pools(sizes, seed, own_text))
    stream(seed, "order", "train").shuffle(train)
    write_sentences(folder / "train.tsv", train)
    write_sentences(folder / "test.tsv", test)
    for name, sentences in (("train", train), ("test", test)):
        counts = Counter(sentence.pool for sentence in sentences)
        vocabulary = {word for sentence in sentences for word in sentence.target.split()}
        letters = sum(len(sentence.target) for sentence in sentences)
        report(
            f"{name}: {len(sentences)} sentences, {letters} letters, "
            f"{len(vocabulary)} distinct words, {dict(sorted(counts.items()))}"
        )
