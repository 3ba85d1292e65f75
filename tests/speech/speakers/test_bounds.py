"""How many people a caller may ask for."""

from __future__ import annotations

import pytest

from glagol.core.errors import InputError
from glagol.speech.speakers.types import Bounds


@pytest.mark.parametrize(
    ("number", "least", "most", "names"),
    [
        (0, None, None, "num_speakers=0"),
        (99, None, None, "num_speakers=99"),
        (-1, None, None, "num_speakers=-1"),
        (None, 0, None, "min_speakers=0"),
        (None, None, 21, "max_speakers=21"),
        (None, 4, 2, "min_speakers=4 is above max_speakers=2"),
        (2, 1, None, "num_speakers stands beside"),
    ],
)
def test_wrong_numbers_are_refused(
    number: int | None, least: int | None, most: int | None, names: str
) -> None:
    """By the option's name, before any work."""
    with pytest.raises(InputError, match=names) as caught:
        Bounds.asked(diarize=True, number=number, least=least, most=most)
    assert caught.value.code == "option_invalid"


def test_a_number_needs_diarize() -> None:
    """It would change nothing without."""
    with pytest.raises(InputError, match="num_speakers needs diarize"):
        Bounds.asked(diarize=False, number=2, least=None, most=None)


def test_what_right_numbers_come_to() -> None:
    """Nothing asked, a number, a least, a most, both."""
    ask = Bounds.asked
    assert ask(diarize=False, number=None, least=None, most=None) is None
    assert ask(diarize=True, number=None, least=None, most=None) == Bounds(1, None)
    assert ask(diarize=True, number=20, least=None, most=None) == Bounds(20, 20)
    assert ask(diarize=True, number=None, least=3, most=None) == Bounds(3, None)
    assert ask(diarize=True, number=None, least=2, most=2) == Bounds(2, 2)
