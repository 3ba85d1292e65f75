"""Recordings from real life: sound stands at its time, and what is missing is reported."""

from __future__ import annotations

import pytest

from speech.audio import variations

COUNT, SEED, PARTS = 352, 7, 8


@pytest.mark.parametrize("part", range(PARTS))
def test_every_variation_keeps_its_times_and_reports_its_losses(part: int) -> None:
    """A fixed seed; `variations.py` tries as many others as one likes."""
    made = [make() for make in variations.cases(COUNT, SEED)[part::PARTS]]
    found = {case.name: variations.check(case) for case in made}
    assert {name: trouble for name, trouble in found.items() if trouble} == {}
    assert len(made) == COUNT // PARTS


def test_every_kind_is_tried() -> None:
    """As often as its weight says, with any number of cases."""
    names = [make().name.split()[0] for make in variations.cases(44, SEED)]
    assert {name: names.count(name) for name in names} == {
        name: weight for name, (_, weight) in variations.KINDS.items()
    }
