"""The library: texts, edits that can be taken back, search, deletion that leaves nothing."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.library.texts import TALK, transcript
from glagol.core.errors import InputError, IntegrityError
from glagol.gateway.library import operations, overview
from glagol.gateway.library.alignment import retimed
from glagol.gateway.library.document import Document, Word
from glagol.gateway.library.library import Library
from glagol.gateway.library.operations import (
    Adopt,
    Assign,
    Join,
    Name,
    Replace,
    Review,
    SetText,
    Split,
    Unite,
)

MARKER = "тарабарщина"
WORDS = st.text("абвгдеё -", max_size=12)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    opened = Library(tmp_path / "library", clock=lambda: 1_000.0)
    yield opened
    opened.close()


def recorded(library: Library, result: bytes = TALK, folder: int = 1) -> str:
    """Id of a recording with a text."""
    identity = library.add(owner="olga", title="звонок", folder=folder).id
    library.transcribed(identity, result, job="job-1")
    return identity


def test_the_machines_text_is_shown_and_kept(library: Library) -> None:
    """Words with times in milliseconds; the same job's text is stored once."""
    identity = recorded(library)
    assert library.transcribed(identity, TALK, job="job-1").state == "done"
    document, last = library.text(identity)
    assert (len(document.segments), last) == (4, 0)
    assert document.segments[1].words[1] == Word("мне", 3500, 3900, 90)
    assert document.segments[1].speaker == "ch1"
    assert library.original(identity)[0] == document
    library.verify(identity)


def test_an_edit_keeps_the_times_of_the_words_that_stay(library: Library) -> None:
    """The changed word takes the time of the one that it replaces, and a person's name."""
    identity = recorded(library)
    library.edit(identity, SetText(2, "здравствуйте мне нужен расчёт срочно"), person="o", seen=0)
    words = library.text(identity)[0].by_id()[2].words
    assert [word.start_ms for word in words[:3]] == [3000, 3500, 4000]
    assert [word.origin for word in words] == ["machine"] * 3 + ["person"] * 2
    assert (words[3].start_ms, words[4].end_ms) == (4500, 4900)
    library.verify(identity)


def test_edits_of_two_people_meet(library: Library) -> None:
    """Two segments: both stay. The same one: the second person gets the name of the first."""
    identity = recorded(library)
    library.edit(identity, SetText(1, "добрый вечер"), person="olga", seen=0)
    library.edit(identity, SetText(2, "привет"), person="ivan", seen=0)
    with pytest.raises(InputError, match="olga") as caught:
        library.edit(identity, SetText(1, "доброе утро"), person="ivan", seen=0)
    assert caught.value.code == "edit_conflict"
    assert library.text(identity)[0].by_id()[1].text == "добрый вечер"


def test_another_machines_text_is_taken_and_given_back(library: Library) -> None:
    """By one edit in the chain: new segments with fresh ids, edits of before come back whole."""
    identity = recorded(library)
    library.edit(identity, SetText(1, "добрый вечер"), person="o", seen=0)
    library.edit(identity, Name("ch0", "Ольга"), person="o", seen=1)
    library.transcribed(identity, transcript([(0.0, "иначе услышано")], model="b"), job="job-2")
    before = library.text(identity)[0]
    assert before.segments[0].text == "добрый вечер"
    taken = library.edit(identity, Adopt(2), person="o", seen=2)
    document, _ = library.text(identity)
    assert [(each.id, each.text) for each in document.segments] == [(5, "иначе услышано")]
    assert document.names == {"ch0": "Ольга"}  # a channel is the same person in any text
    library.edit(identity, Split(5, 1), person="o", seen=3)
    assert overview.about(library.db, [library.read(identity)])[0].shown == 2
    library.verify(identity)
    with pytest.raises(InputError) as caught:
        library.edit(identity, Adopt(3), person="o", seen=9)
    assert caught.value.code == "recording_unknown"
    library.undo(identity, 4, person="o")
    library.undo(identity, taken.number, person="o")
    assert library.text(identity)[0] == before
    assert overview.about(library.db, [library.read(identity)])[0].shown == 1
    library.edit(identity, Split(1, 1), person="o", seen=9)
    assert library.text(identity)[0].by_id().keys() == {1, 2, 3, 4, 7}  # no number is used twice
    library.verify(identity)


def test_a_job_that_fails_leaves_the_text_of_the_one_before(library: Library) -> None:
    """The recording stays readable, with the code of what went wrong."""
    identity = recorded(library)
    library.again(identity, {"model": "b"})
    found = library.failed(identity, "speakers_missing")
    assert (found.state, found.trouble) == ("done", "speakers_missing")
    assert library.again(identity).trouble == ""


@pytest.mark.parametrize(
    "operation",
    [
        SetText(9, "нет такого"),
        SetText(1, "а" * (operations.TEXT_MAX + 1)),
        Split(1, 0),
        Split(1, 4),
        Join(1, 2),
        Join(3, 1),
        Name("ch0", "И" * 201),
        Assign((1, 99), "ch1"),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(
    library: Library, operation: operations.Operation
) -> None:
    """Each is refused by its code, and no number is used up."""
    identity = recorded(library)
    before = library.text(identity)
    with pytest.raises(InputError) as caught:
        library.edit(identity, operation, person="o", seen=0)
    assert caught.value.code == "edit_invalid"
    assert library.text(identity) == before


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_edits_can_be_taken_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Text, times, speakers and names equal the start; history only grows, and is proven."""
    library = Library(tmp_path_factory.mktemp("library"), clock=lambda: 1.0)
    identity = recorded(library)
    start, _ = library.text(identity)
    done: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        before = library.text(identity)[0]
        operation = data.draw(operation_for(before))
        try:
            done.append(library.edit(identity, operation, person="o", seen=10_000).number)
        except InputError as error:
            assert error.code == "edit_invalid"  # noqa: PT017
        check_times(library.text(identity)[0])
        check_kept(before, library.text(identity)[0])
    library.verify(identity)
    assert library.original(identity)[0] == start
    for number in reversed(done):
        library.undo(identity, number, person="o")
    assert library.text(identity)[0] == start
    library.verify(identity)
    assert [edit.number for edit in library.edits(identity)] == [*range(1, 2 * len(done) + 1)]
    library.close()


def test_a_hundred_edits_are_taken_back_and_made_again(library: Library) -> None:
    """Back: the text of the start, with times, speakers and names; again: the edited one."""
    identity = recorded(library)
    start, lot = library.text(identity)[0], random.Random(12)  # noqa: S311
    done: list[int] = []
    while len(done) < 100:
        operation = drawn(lot, library.text(identity)[0])
        with suppress(InputError):
            done.append(library.edit(identity, operation, person="o", seen=10_000).number)
    edited = library.text(identity)[0]
    assert edited != start
    taken = [library.undo(identity, number, person="o").number for number in reversed(done)]
    assert library.text(identity)[0] == start
    again = [library.undo(identity, number, person="o").number for number in reversed(taken)]
    assert library.text(identity)[0] == edited
    history = [edit.number for edit in library.edits(identity)]
    assert history == [*done, *taken, *again] == [*range(1, 301)]
    library.verify(identity)


def drawn(lot: random.Random, document: Document) -> operations.Operation:
    """An operation by lot over the segments that there are."""
    ids = [segment.id for segment in document.segments]
    one, speaker = lot.choice(ids), lot.choice(["ch0", "ch1", "spk3"])
    at = ids.index(one)
    words = " ".join(lot.choices(["да", "нет", "ёж", "номер"], k=lot.randrange(6)))
    kinds: list[operations.Operation] = [
        SetText(one, words),
        Split(one, lot.randrange(1, 5)),
        Join(one, ids[(at + 1) % len(ids)]),
        Assign((one,), speaker),
        Unite(speaker, lot.choice(["ch0", "ch1"]), tuple(ids)),
        Name(speaker, words),
        Replace("да", "нет", ((one, words),)),
        Review(one, lot.random() < 0.5),
    ]
    return lot.choice(kinds)


def operation_for(document: Document) -> st.SearchStrategy[operations.Operation]:
    """Any operation over the segments that there are."""
    ids = [segment.id for segment in document.segments]
    one, speaker = st.sampled_from(ids), st.sampled_from(["ch0", "ch1", "spk3"])
    texts = st.dictionaries(one, WORDS, max_size=3)
    following = st.sampled_from([*zip(ids, ids[1:] + ids[:1], strict=True), (ids[0], ids[-1])])
    return st.one_of(
        st.builds(SetText, one, WORDS),
        st.builds(Split, one, st.integers(0, 5)),
        following.map(lambda pair: Join(*pair)),
        st.builds(Assign, st.lists(one, max_size=3, unique=True).map(tuple), speaker),
        st.builds(Unite, speaker, speaker, st.just(tuple(ids))),
        st.builds(Name, speaker, WORDS),
        st.builds(Replace, WORDS, WORDS, texts.map(lambda found: tuple(found.items()))),
        st.builds(Review, one, st.booleans()),
    )


def check_times(document: Document) -> None:
    """Times rise and lie inside their segments."""
    for segment in document.segments:
        at = segment.start_ms
        for word in segment.words:
            assert at <= word.start_ms <= word.end_ms <= segment.end_ms, segment
            at = word.start_ms


def check_kept(before: Document, after: Document) -> None:
    """A word that is called the machine's stood there before, with the same times."""
    known = {word for segment in before.segments for word in segment.words}
    for segment in after.segments:
        assert {word for word in segment.words if word.origin == "machine"} <= known
        was = before.by_id().get(segment.id)
        if was is not None and was.text == segment.text:
            assert segment.words == was.words


@given(st.lists(st.sampled_from("абв"), max_size=8), st.lists(st.sampled_from("абвг"), max_size=8))
def test_aligned_words_rise_and_stay(old: list[str], new: list[str]) -> None:
    """Any change: one word a token, times that rise, and words in common as they were."""
    words = [Word(text, 100 + 50 * at, 140 + 50 * at, 80) for at, text in enumerate(old)]
    made = retimed(words, new, 0, 1000)
    assert [word.text for word in made] == new
    starts = [word.start_ms for word in made]
    assert starts == sorted(starts)
    assert all(word in words for word in made if word.origin == "machine")
    if old == new:
        assert list(made) == words


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE edit SET person = 'ivan' WHERE number = 1",
        "UPDATE edit SET operation = replace(operation, 'вечер', 'ветер')",
        "DELETE FROM edit WHERE number = 1",
        "DELETE FROM edit WHERE number = 2",
        "UPDATE segment SET data = CAST(replace(CAST(data AS TEXT), 'банк', 'танк') AS BLOB)",
        "UPDATE speaker SET name = 'Иван'",
        "UPDATE machine SET result_sha256 = ''",
    ],
)
def test_altered_history_is_found(library: Library, tmp_path: Path, change: str) -> None:
    """Whatever is changed in the file is seen."""
    identity = recorded(library)
    library.edit(identity, SetText(2, "добрый вечер"), person="olga", seen=0)
    library.edit(identity, Name("ch0", "Ольга"), person="olga", seen=1)
    library.verify(identity)
    with sqlite3.connect(tmp_path / "library/library.sqlite") as db:
        assert db.execute(change).rowcount > 0
    db.close()
    with pytest.raises(IntegrityError) as caught:
        library.verify(identity)
    assert caught.value.code == "edits_altered"


def test_search_finds_every_form_of_a_word(library: Library) -> None:
    """Inflected, with ё or е, unfinished; what was edited is found by its new words alone."""
    identity = recorded(library)
    for query in ("перерасчета", "ПЕРЕРАСЧЁТ", "нужен перерасч", "перерасчётом мне"):
        hits = library.search(query, [1]).hits
        assert [(hit.recording, hit.segment) for hit in hits] == [(identity, 2)], query
    assert library.search("перерасчёт", [1]).hits[0].start_ms == 4500
    library.edit(identity, SetText(2, "мне нужна справка"), person="o", seen=0)
    assert not library.search("перерасчёт", [1]).hits
    assert library.search("справку", [1]).hits
    for hostile in ("", '"', "* OR 1", "a" * 5000, "NEAR(", "стакан:"):
        library.search(hostile, [1])


def test_search_tells_nothing_of_other_folders(library: Library, tmp_path: Path) -> None:
    """Neither a hit nor the sign that there is more."""
    with sqlite3.connect(tmp_path / "library/library.sqlite") as db:
        db.execute("INSERT INTO folder (id, name) VALUES (2, 'чужая')")
    db.close()
    recorded(library, folder=2)
    mine = recorded(library)
    found = library.search("договор", [1], limit=1)
    assert [hit.recording for hit in found.hits] == [mine]
    assert not found.more
    assert library.search("договор", [1, 2], limit=1).more
    assert not library.search("договор", []).hits


def test_nothing_is_left_of_what_was_deleted(library: Library, tmp_path: Path) -> None:
    """No byte of a word, of an edit or of the audio; other recordings stay whole."""
    kept = recorded(library)
    identity = recorded(library, transcript([(0.0, f"секрет {MARKER}"), (2.0, "другое")]))
    audio = tmp_path / "upload"
    audio.write_bytes(b"RIFF" + MARKER.encode() * 100)
    library.arrived(identity, audio, sha256="a" * 64, bytes_=4)
    library.edit(identity, SetText(2, f"ещё {MARKER}"), person="olga", seen=0)
    library.rename(identity, MARKER)
    assert remains(tmp_path)
    receipt = library.delete(identity, who="olga", why="просьба")
    assert (receipt.recording, receipt.audio_sha256) == (identity, "a" * 64)
    assert not remains(tmp_path)
    with pytest.raises(InputError):
        library.read(identity)
    library.verify(kept)
    assert library.search("договор", [1]).hits
    assert not library.finish_deletions()


def remains(folder: Path) -> list[Path]:
    """Files that hold the marker or its stem in any form."""
    needles = [MARKER.encode(), MARKER[:-1].encode(), ascii(MARKER)[1:-1].encode()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(each in path.read_bytes() for each in needles)]
