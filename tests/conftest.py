"""What every test may rely on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples on every run; a hunt for new ones is HYPOTHESIS_RANDOM=1 ./just test.
settings.register_profile("same", derandomize=not os.environ.get("HYPOTHESIS_RANDOM"))
settings.load_profile("same")


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
