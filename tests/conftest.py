"""What every test may rely on."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run; a hunt for new ones is HYPOTHESIS_RANDOM=1 ./just test.
# How long an example takes says more of a busy machine than of the code.
settings.register_profile(
    "same",
    derandomize=not os.environ.get("HYPOTHESIS_RANDOM"),
    deadline=None,
    print_blob=bool(os.environ.get("HYPOTHESIS_RANDOM")),  # a finding becomes a fixed example
    suppress_health_check=[HealthCheck.too_slow],
)
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


_left_out: set[tuple[str, str]] = set()
"""Modules that skip themselves while they are collected, and why."""


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keep what a whole module is skipped for; a process of xdist does not tell the first one."""
    if report.skipped:
        _left_out.add((report.nodeid, _reason(report)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what this process skipped, if it is one of xdist's."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = sorted(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Take over what one of xdist's processes skipped."""
    _left_out.update((where, why) for where, why in getattr(node, "workeroutput", {}).get(
        "left_out", ()))  # fmt: skip


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print each reason for skips and how often it came: build/skips.py reads these lines."""
    reports = terminalreporter.stats.get("skipped", [])
    found = Counter(_reason(each) for each in reports if isinstance(each, pytest.TestReport))
    found.update(f"{why} (a whole module)" for _, why in _left_out)
    for reason, count in sorted(found.items()):
        terminalreporter.write_line(f"SKIPPED: test: {reason}: {count}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, on one line."""
    reason = report.longrepr
    text = reason[2] if isinstance(reason, tuple) else str(reason)
    return " ".join(text.removeprefix("Skipped: ").split())
