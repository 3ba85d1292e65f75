"""Texts become ids and vectors as the model says, and nothing else of the process matters."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from embed import made
from forge import made_bert
from glagol.core.errors import GlagolError, InputError, IntegrityError, LimitError
from glagol.embed.config import chosen, configured
from glagol.embed.engine import Embedder, proven
from glagol.embed.tokenizer import CHARACTERS_MAX, Tokenizer
from glagol.registry.registry import Registry


def test_vectors_are_the_formulas(embedder: Embedder) -> None:
    """A question gets its prefix, ids their two ends, and the vector is that of the formula."""
    ids, cut = embedder.tokens("  c d ", "query")
    assert (ids, cut) == ([0, 4, 6, 7, 2], False)
    expected = made_bert.Formula(made_bert.made().weights, made_bert.stated()).vector(ids)
    assert np.allclose(embedder.embed(["c d"], "query")[0], expected, atol=1e-5)
    assert embedder.tokens("c d", "passage")[0][1] == 5
    assert embedder.tokens("c d", "raw")[0] == [0, 6, 7, 2]
    assert embedder.embed([], "raw").shape == (0, made_bert.SIZES.width)


def test_a_vector_does_not_depend_on_its_neighbours(home: Path) -> None:
    """int8 too gives the same bits alone and among others, in any order."""
    embedder = Embedder.open(Registry.load(home), variant="cpu-int8")
    texts = ["a b c", "q", "z y x w v u t s"]
    together = embedder.embed(texts, "raw")
    for number in (2, 0, 1):
        assert embedder.embed([texts[number]], "raw")[0].tobytes() == together[number].tobytes()
    exact = Embedder.open(Registry.load(home), variant="cpu-fp32").embed(texts, "raw")
    assert (np.einsum("nd,nd->n", together, exact) > 0.99).all()


def test_control_tokens_in_a_text_are_text(embedder: Embedder) -> None:
    """A transcript that spells them reaches no id below the first piece's but unknown."""
    ids, _ = embedder.tokens("<s> a </s> <pad> <mask>", "raw")
    assert ids[0] == 0
    assert ids[-1] == 2
    assert not set(ids[1:-1]) & {0, 1, 2, len(made_bert.PIECES) - 1}


def test_long_texts_are_refused_or_cut(embedder: Embedder) -> None:
    """The limit counts both ends and the prefix; 1 MB of text is looked at once."""
    most = made_bert.stated().tokens_max
    words = ["a"] * (most - 2)
    assert embedder.tokens(" ".join(words), "raw") == ([0, *[4] * (most - 2), 2], False)
    for text in (" ".join([*words, "b"]), "a " * CHARACTERS_MAX):
        with pytest.raises(LimitError, match="a text has") as caught:
            embedder.tokens(text, "raw")
        assert caught.value.code == "prompt_too_long"
        ids, cut = embedder.tokens(text, "raw", cut=True)
        assert (ids, cut) == ([0, *[4] * (most - 2), 2], True)
    for empty in ("", " \n\t"):
        with pytest.raises(InputError, match="empty"):
            embedder.tokens(empty, "query")


def test_token_lists_of_a_client(embedder: Embedder) -> None:
    """With or without ends; an id that no text can have is refused."""
    accept = embedder.tokenizer.accept
    assert accept([4, 5]) == accept([0, 4, 5, 2]) == [0, 4, 5, 2]
    assert accept([3, len(made_bert.PIECES) - 2])
    for ids in ([], [0, 2]):
        with pytest.raises(InputError, match="empty"):
            accept(ids)
    for ids in ([1], [4, 0, 5], [2, 4], [len(made_bert.PIECES) - 1], [-1], [10**9]):
        with pytest.raises(InputError, match="is none of"):
            accept(ids)
    with pytest.raises(LimitError):
        accept([4] * 15)


def test_what_serves_is_in_the_provenance(home: Path, embedder: Embedder) -> None:
    """Digests of the open files, and of the manifest that named them."""
    registry = Registry.load(home)
    about = proven(embedder).provenance
    assert (about.model, about.variant, about.provider) == (made.MODEL, "cpu-fp32", "cpu")
    variant = next(v for v in registry.model(made.MODEL).variants if v.id == "cpu-fp32")
    assert about.artifacts == {a.path: a.sha256 for a in variant.artifacts}
    assert about.manifest_sha256 == registry.manifest_sha256


def test_the_entry_decides(home: Path) -> None:
    """The first model of the role serves; another engine's or broken parameters are refused."""
    registry = Registry.load(home)
    assert chosen(registry, None).id == chosen(registry, made.ALIAS).id == made.MODEL
    with pytest.raises(InputError, match="makes no vectors"):
        chosen(registry, "silero-vad")
    wrong = msgspec.structs.replace(registry.model(made.MODEL), decoding={"kind": "embedding"})
    with pytest.raises(IntegrityError, match="do not fit the engine"):
        configured(wrong)


def test_an_altered_model_is_never_opened(tmp_path: Path) -> None:
    """One byte of graph, weights or tokenizer, and it is refused by digest."""
    home = made.make_home(tmp_path)
    registry = Registry.load(home)
    variant = next(v for v in registry.model(made.MODEL).variants if v.id == "cpu-fp32")
    for artifact in variant.artifacts:
        path = registry.store.path_of(artifact.sha256)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        with pytest.raises(GlagolError) as caught:
            Embedder.open(registry, variant="cpu-fp32")
        assert caught.value.code == "artifact_altered"
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    parameters = configured(registry.model(made.MODEL))
    with pytest.raises(IntegrityError, match="tokenizer"):
        Tokenizer(b"no model", parameters)
