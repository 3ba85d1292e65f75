"""What the driver and its actors say to each other comes back as it was."""

from __future__ import annotations

from glagol.archive.actors.wire import Identity, Recognised, answer, decode, encode
from glagol.speech.engines.base import Hypothesis, Request
from glagol.speech.phrases.types import Phrase
from glagol.speech.types import Word

REQUEST = Request("ru", phrases=(Phrase("Глагол", 1.5),), window="full", history=True)


def test_requests_and_hypotheses_come_back() -> None:
    """With every field that a family may set: each type is known when JSON is read."""
    found = Recognised((Hypothesis((Word(0.1, 0.4, "да", 0.9),), "да", "ru"),), REQUEST)
    assert answer(encode(found), Recognised) == found
    identity = Identity("0", {"model": "nano"}, REQUEST)
    assert answer(encode(identity), Identity) == identity
    assert decode(encode(REQUEST), Request | None) == REQUEST  # type: ignore[arg-type]
