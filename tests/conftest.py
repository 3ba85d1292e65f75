"""What every test may rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """A command that ran in this process leaves neither its log's level nor its closed stream."""
    root, own = logging.getLogger(), logging.getLogger("glagol")
    before = (root.level, own.level, [*root.handlers])
    yield
    root.setLevel(before[0])
    own.setLevel(before[1])
    for handler in [handler for handler in root.handlers if handler not in before[2]]:
        root.removeHandler(handler)
