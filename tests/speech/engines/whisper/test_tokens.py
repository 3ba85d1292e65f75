"""Tokens: ids from the vocabulary's size, bytes to text, text to ids, and what is never said."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import IntegrityError
from glagol.speech.engines.whisper.ids import LANGUAGES, Ids, Votes
from glagol.speech.engines.whisper.vocabulary import Vocabulary, encoded, words_in
from speech import made

KEPT = made.golden("whisper_bpe.json")
RANKS = {base64.b64decode(piece): rank for piece, rank in KEPT["ranks"].items()}
"""All tokens that a part of the kept texts could be: the others cannot change their encoding."""


def written(pieces: list[bytes]) -> bytes:
    """`tokens.txt` of some pieces."""
    return b"".join(base64.b64encode(piece) + b"\n" for piece in pieces)


BYTES = [bytes([value]) for value in range(256)]


@pytest.mark.parametrize(
    ("size", "eot", "transcribe", "no_timestamps", "timestamps"),
    [
        (51_865, 50_257, 50_359, 50_363, 50_364),
        (51_866, 50_257, 50_360, 50_364, 50_365),
        (51_864, 50_256, 50_358, 50_362, 50_363),
    ],
)
def test_ids_follow_from_the_size(
    size: int, eot: int, transcribe: int, no_timestamps: int, timestamps: int
) -> None:
    """The three published vocabularies, as upstream's tokenizers number them."""
    ids = Ids.of(size)
    assert (ids.eot, ids.transcribe, ids.no_timestamps) == (eot, transcribe, no_timestamps)
    assert (ids.sot, ids.no_speech) == (eot + 1, no_timestamps - 1)
    assert ids.timestamps == timestamps == size - 1501


def test_languages_have_their_ids() -> None:
    """Russian and English as upstream has them; English models take no language."""
    ids = Ids.of(51_865)
    assert ids.start("ru", "transcribe") == [50_258, 50_263, 50_359]
    assert ids.start("en", "translate") == [50_258, 50_259, 50_358]
    assert len(ids.spoken) == 99
    assert Ids.of(51_866).spoken[-1] == "yue"
    english = Ids.of(51_864)
    assert english.spoken == ("en",)
    assert english.start("en", "transcribe") == [50_257]
    assert len(set(LANGUAGES)) == 100


def test_an_unknown_vocabulary_is_refused() -> None:
    """Another size has other ids, which are unknown here."""
    with pytest.raises(IntegrityError, match="51867"):
        Ids.of(51_867)


@pytest.mark.parametrize("kept", KEPT["vectors"], ids=lambda kept: repr(kept["text"][:12]))
def test_texts_have_the_tokens_of_the_reference(kept: dict[str, object]) -> None:
    """Kept vectors of tiktoken."""
    assert encoded(str(kept["text"]), RANKS) == kept["ids"]


@settings(deadline=None, max_examples=40)
@given(st.text("aя  's.9½\n\t\u00a0\x1c\u0301日🙂-—_", max_size=40))
def test_splitting_and_encoding_lose_nothing(text: str) -> None:
    """The parts are the text, and so are the bytes of its tokens."""
    assert "".join(words_in(text)) == text
    by_id = {rank: piece for piece, rank in RANKS.items()}
    assert b"".join(by_id[i] for i in encoded(text, RANKS)) == text.encode()


def test_long_words_take_no_long_time() -> None:
    """A prompt without a space, of the length that the engine looks at."""
    assert len(encoded("ж" * 2000, RANKS)) > 200


def test_text_is_decoded_once() -> None:
    """A letter may span tokens; what is incomplete at the end is left out, as are special ids."""
    vocabulary = Vocabulary.read(written([*BYTES, "жа".encode()]), 257)
    first, second = "ё".encode()
    assert vocabulary.decoded([256, first, second, 300, first]) == "жаё"
    assert vocabulary.encoded("жа") == [256]


@pytest.mark.parametrize(
    ("data", "count", "said"),
    [
        (b"@@\n", 1, "base64"),
        (written(BYTES), 257, "256 tokens, the model 257"),
        (written([*BYTES, b"a"]), 257, "equal"),
        (written([*BYTES[:-1], b"ab"]), 256, "a byte is missing"),
        (b"", 256, "0 tokens"),
    ],
)
def test_tokens_of_another_model_are_refused(data: bytes, count: int, said: str) -> None:
    """Every way in which the file can be wrong is named."""
    with pytest.raises(IntegrityError, match=said) as caught:
        Vocabulary.read(data, count)
    assert caught.value.code == "artifact_altered"


def test_music_and_brackets_are_not_said() -> None:
    """Of the kept tokens: brackets, notes and dashes, not letters."""
    pieces = sorted(RANKS, key=lambda piece: RANKS[piece])
    vocabulary = Vocabulary(tuple(pieces), {piece: rank for rank, piece in enumerate(pieces)})
    never = {vocabulary.pieces[i] for i in vocabulary.not_speech()}
    assert {b"(", b"[", b"@", b" -", b" '"} <= never
    assert "♪".encode()[:2] in never or "♪".encode() in never
    assert not {b"a", b"-", b"'", "ж".encode()} & never


def test_the_language_is_voted_for() -> None:
    """A short wrong window does not outvote a long one; after 30 s nothing is asked any more."""
    votes = Votes(("en", "ru", "uk"))
    votes.add(np.array([0, 0, 2], np.float32), 3)
    assert votes.language == "uk"
    votes.add(np.array([0, 4, 1], np.float32), 12)
    assert votes.language == "ru"
    assert not votes.settled
    votes.add(np.array([0, 1000, 1], np.float32), 16)
    assert votes.settled
