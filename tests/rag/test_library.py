"""One contract for both kinds of vector index: what is put is found, what is forgotten is gone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embed import made
from glagol.core.errors import GlagolError, HostError, InputError
from glagol.embed.engine import Embedder
from glagol.rag.library import Library, fused
from glagol.rag.scope import Scope
from glagol.rag.turns import Recording, Turn, from_transcript
from glagol.rag.words import stems

EVERYTHING = Scope()
Open = Callable[[], Library]
ROUNDS = int(os.environ.get("GLAGOL_SEARCH_ROUNDS", "1"))
QUERIES = int(os.environ.get("GLAGOL_SEARCH_QUERIES", "200"))


def recording(name: str, *texts: str, owner: str = "", **about: str) -> Recording:
    """A recording whose turns are 10 s apart, by two speakers in turn."""
    turns = tuple(
        Turn(10.0 * n, 10.0 * n + 8, about.get("speaker", f"голос {n % 2}"), -1, text)
        for n, text in enumerate(texts)
    )
    return Recording(
        name, owner, about.get("folder", ""), about.get("title", name), about.get("date", ""), turns
    )


def ids(library: Library, query: str, scope: Scope = EVERYTHING, limit: int = 100) -> set[str]:
    """Recordings that a search finds."""
    return {hit.turn.recording for hit in library.search(query, scope, limit)}


def test_words_meaning_and_neighbours(library: Open) -> None:
    """Endings, case and ё do not count; a phrase must be there; a hit says why and what is near."""
    opened = library()
    opened.put(recording("a", "начнём", "Бюджет утвердили в марте", "спасибо", "до встречи"))
    opened.put(recording("b", "марта ещё не было", "бюджета не видел"))
    (first, *_) = opened.search("утверждение бюджета в МАРТЕ", EVERYTHING)
    assert first.turn.recording == "a"
    assert first.turn.text == "Бюджет утвердили в марте"
    assert first.by_words == 1
    assert first.by_meaning is not None
    assert [turn.text for turn in first.around] == [
        "начнём", "Бюджет утвердили в марте", "спасибо",
    ]  # fmt: skip
    assert ids(opened, '"утвердили в марте"') == {"a"}
    assert ids(opened, '"марте утвердили"') == set()
    assert ids(opened, "начнем", limit=1) == {"a"}
    assert stems("Ещё Ёлки 45 running") == ["ещ", "елк", "45", "run"]


def test_the_same_again_costs_nothing_and_a_change_replaces(library: Open) -> None:
    """By digest; what was said before is no longer found."""
    opened = library()
    first = recording("a", "старый текст")
    assert opened.put(first)
    assert not opened.put(first)
    assert opened.put(recording("a", "новый текст"))
    assert ids(opened, '"старый"') == set()
    assert ids(opened, '"новый"') == {"a"}
    assert opened.put(replace(recording("a", "новый текст"), folder="другая"))
    assert ids(opened, "текст", Scope(folders=("другая",))) == {"a"}
    opened = library()
    assert not opened.put(replace(recording("a", "новый текст"), folder="другая"))
    assert len(opened.search("текст", EVERYTHING)) == 1


def test_frequent_words_alone_are_no_hit_and_do_not_change_the_order(library: Open) -> None:
    """What all turns share does not find them; the rest is ranked by all words together."""
    opened = library()
    common = [f"отчёт {n}" for n in range(60)] + [f"погода {n}" for n in range(80)]
    longer = ["слово " * n for n in range(8)]
    said = [f"{head}договор {rest}" for head in ("", "отчёт ") for rest in longer]
    opened.put(recording("a", *common, *said))
    found = opened.by_words("отчёт договор", EVERYTHING, 100)
    assert len(found) == len(said)
    every = opened._store.rows(
        "SELECT rowid FROM stems WHERE stems MATCH ? ORDER BY bm25(stems), rowid",
        [" OR ".join(stems("отчёт договор"))],
    )
    assert len(every) == len(said) + 60
    assert found == [each for (each,) in every if each in set(found)]


def test_scopes_are_part_of_the_query(library: Open) -> None:
    """Every field, both legs, and an empty scope that sees nothing; places are of what is seen."""
    opened = library()
    for number in range(60):  # more than the candidates of a leg
        opened.put(recording(f"x{number}", f"тема {number}", owner="other"))
    opened.put(recording("mine", "тема моя", owner="me", date="2026-03-12", folder="f"))
    for scope in (
        Scope(owners=("me",)),
        Scope(folders=("f",)),
        Scope(recordings=("mine", "none")),
        Scope(since="2026-03-12"),
        Scope(since="2026-03-01", until="2026-03-31"),
        Scope(owners=("me",), speakers=("голос 0",)),
    ):
        (hit,) = opened.search("тема", scope)
        assert (hit.turn.recording, hit.by_meaning, hit.by_words) == ("mine", 1, 1)
    for scope in (
        Scope(owners=()),
        Scope(owners=("me",), folders=("g",)),
        Scope(owners=("me",), speakers=("голос 1",)),
        Scope(since="2026-03-13"),
        Scope(owners=("me' OR 1=1 --",)),
    ):
        assert opened.search("тема", scope) == []
    assert opened.counts(Scope(owners=("me",))) == [("mine", "mine", 1, 8.0)]


def test_two_owners_never_meet(library: Open) -> None:
    """Random queries over two owners with equal words: every hit is the asker's."""
    opened, chance = library(), random.Random(7)  # noqa: S311
    words = ["бюджет", "встреча", "договор", "сроки", "март", "Казань", "a", "b", "45"]
    for number in range(30):
        owner = "ab"[number % 2]
        said = [" ".join(chance.choices(words, k=5)) for _ in range(3)]
        opened.put(recording(f"{owner}{number}", *said, owner=owner))
    for _ in range(QUERIES):
        owner = chance.choice("ab")
        query = " ".join(chance.choices(words, k=chance.randint(1, 4)))
        query = f'"{query}"' if chance.random() < 0.2 else query
        mine = Scope(owners=(owner,))
        assert all(name[0] == owner for name in ids(opened, query, mine))
        facet = opened.counted(query, mine, ("recording",)).facets["recording"]
        assert all(each.value[0] == owner for each in facet)


def test_what_is_forgotten_is_in_no_file(library: Open, tmp_path: Path) -> None:
    """Marker bytes of text, title and speaker, and the vector's own bytes, before and after."""
    opened = library()
    opened.put(recording("keep", *(f"другое {n}" for n in range(40))))
    opened.put(
        recording("gone", "СЕКРЕТZQX77 сказан", title="ТАЙНЫЙZQX78", speaker="ИМЯZQX79", owner="o")
    )
    row = next(row for row in opened._store.vectors() if row[1].recording == "gone")
    marks = ["ZQX77", "zqx77", "ZQX78", "ZQX79", row[-1]]

    def where(mark: Any) -> list[str]:
        data = mark.encode() if isinstance(mark, str) else mark
        files = [path for path in (tmp_path / "index").rglob("*") if path.is_file()]
        return [path.name for path in files if data in path.read_bytes()]

    assert where("zqx77")
    assert where(row[-1])
    assert opened.forget("gone")
    assert not opened.forget("gone")
    assert [where(mark) for mark in marks] == [[]] * len(marks)
    assert ids(opened, "секретzqx77") <= {"keep"}
    opened = library()
    assert [where(mark) for mark in marks] == [[]] * len(marks)
    assert ids(opened, "другое") == {"keep"}


def test_a_crash_between_store_and_index_is_repaired(
    library: Open, embedder: Embedder, tmp_path: Path
) -> None:
    """What the store has and the index has not seen is there after the next opening."""
    opened = library()
    opened.put(recording("a", "первый"))
    late = recording("b", "второй")
    opened._store.put(late, embedder.embed(["второй"], "passage"), opened.model)
    opened._store.forget("a")  # and the index of vectors learned of neither
    opened = library()
    assert set(opened.by_meaning("второй", EVERYTHING, 5)) == {2}
    assert ids(opened, "первый") == {"b"}


def test_wrong_queries_and_other_models(library: Open, embedder: Embedder, tmp_path: Path) -> None:
    """Empty, too long, FTS5's own language, control characters; vectors of another model."""
    opened = library()
    opened.put(recording("a", "NEAR AND OR текст"))
    for empty in ("", "  ", '""', '" "'):
        with pytest.raises(InputError, match="empty"):
            opened.search(empty, EVERYTHING)
    with pytest.raises(InputError, match="10001 characters"):
        opened.search("a" * 10_001, EVERYTHING)
    hard = (
        "NEAR(",
        "a AND",
        "x* ^ -",
        '"a',
        "текст\0\x1b",
        "<s> </s>",
        "{col}: a",
        "текст " * 1600,
    )
    for query in hard:
        opened.search(query, EVERYTHING)
    other = replace(embedder, provenance=replace(embedder.provenance, artifacts={"x": "0"}))
    opened.close()
    with pytest.raises(HostError, match="another model"):
        Library(tmp_path / "index", other, "exact")
    library()


def test_only_what_matched_counts_in_the_fusion() -> None:
    """Reciprocal ranks; ties go to the smaller id, in whatever order the rankings come."""
    assert fused([1, 2, 3], [3]) == [3, 1, 2]
    assert fused([5], [4]) == fused([4], [5]) == [4, 5]
    assert fused([], []) == []


def test_transcripts_become_turns() -> None:
    """One speaker without a pause is one turn; an envelope is opened; what is none is refused."""
    segments = [
        {"text": "раз", "start": 0, "end": 1, "speaker": "А"},
        {"text": " два ", "start": 1.5, "end": 2, "speaker": "А"},
        {"text": "три", "start": 2, "end": 3, "speaker": "Б"},
        {"text": "четыре", "start": 9, "end": 10, "speaker": "Б"},
        {"text": "  ", "start": 10, "end": 11},
        {"text": "слово " * 70, "start": 11, "end": 40, "speaker": "Б"},
    ]
    found = from_transcript({"success": True, "data": {"segments": segments}}, "r")
    assert [turn.text[:9] for turn in found.turns] == ["раз два", "три", "четыре", "слово сло"]
    assert (found.turns[0].start_s, found.turns[0].end_s) == (0, 2)
    wrongs: tuple[Any, ...] = ({}, [], {"segments": [{}]}, {"segments": "x"}, "text")
    for wrong in wrongs:
        with pytest.raises(InputError, match="not a transcript"):
            from_transcript(wrong, "r")
    with pytest.raises(InputError, match="says nothing"):
        from_transcript({"segments": []}, "r")


KILLED = """
import sys
from pathlib import Path
from rag.test_library import recording
from glagol.embed.engine import Embedder
from glagol.rag.library import Library
from glagol.registry.registry import Registry
embedder = Embedder.open(Registry.load(Path(sys.argv[1])), variant="cpu-fp32")
library = Library(Path(sys.argv[2]), embedder, "edge")
for number in range(10_000):
    library.put(recording(f"r{number}", f"c d {number}", f"метка{number}"))
    if number % 3 == 2:
        library.forget(f"r{number - 1}")
        print("gone", number - 1, flush=True)
    print("put", number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ROUNDS))
def test_kill_9_loses_nothing_and_brings_nothing_back(
    home: Path, embedder: Embedder, tmp_path: Path, number: int
) -> None:
    """What was acknowledged is found after the kill; what was forgotten is not."""
    root = made.ROOT
    path = os.pathsep.join([str(root / "tests"), *map(str, root.glob("packages/*/src"))])
    index = tmp_path / "index"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(home), str(index)],
        env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(40)]
    time.sleep(number % 10 / 100)
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    said = [line.split() for line in lines if len(line.split()) == 2]
    gone = {each for what, each in said if what == "gone"}
    put = {each for what, each in said if what == "put"} - gone
    last = str(max(map(int, put)))
    if int(last) % 3 == 1:  # the kill may have come between forgetting it and saying so
        put.remove(last)
    library = Library(index, embedder, "edge")
    try:
        for each in sorted(put):
            assert ids(library, f'"метка{each}"') == {f"r{each}"}
        for each in gone:
            assert ids(library, f'"метка{each}"') == set()
        found = set(library.by_meaning("c d", EVERYTHING, 10_000))
        assert found == set(library._store.ids(EVERYTHING).tolist())
        assert len(put) > 10
    finally:
        library.close()


def test_a_shard_has_one_owner(tmp_path: Path, embedder: Embedder) -> None:
    """A second opening of the same shard is refused while the first lives."""
    first = Library(tmp_path / "index", embedder, "edge")
    with pytest.raises(GlagolError, match="another process has"):
        Library(tmp_path / "index", embedder, "edge")
    first.close()
    Library(tmp_path / "index", embedder, "edge").close()


def test_both_kinds_find_the_same(tmp_path: Path, embedder: Embedder) -> None:
    """The nearest of two hundred turns, in the same order."""
    chance = random.Random(3)  # noqa: S311
    said = [" ".join(chance.choices("abcdefghij", k=6)) for _ in range(200)]
    found = []
    for kind in ("edge", "exact"):
        library = Library(tmp_path / kind, embedder, kind)
        library.put(recording("a", *said))
        (vector,) = embedder.embed(["a b c"], "query")
        found.append(library.index.nearest(vector, EVERYTHING, 20))
        library.close()
    one, other = ([score for _, score in each] for each in found)
    assert np.allclose(one, other, atol=1e-5)
    assert len({number for number, _ in found[0]} & {number for number, _ in found[1]}) >= 18
