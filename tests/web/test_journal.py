"""A log line about an error has its code, message and remedy, then what the caller adds."""

from __future__ import annotations

import json
import logging

import pytest

from glagol.core import journal
from glagol.core.errors import HostError

TROUBLE = HostError("disk_full", "no room in /state", "make room")
WORDS = {"code": "disk_full", "message": "no room in /state", "remedy": "make room"}


@pytest.mark.parametrize("level", [logging.ERROR, logging.WARNING])
def test_error_line(caplog: pytest.LogCaptureFixture, level: int) -> None:
    """These keys in this order, at the level that was asked for, without a traceback."""
    with caplog.at_level(logging.INFO, journal.LOGGER.name):
        journal.error("audit line not written", TROUBLE, level=level, request_id="r1")
    (record,) = caplog.records
    line = json.loads(journal.JsonLines().format(record))
    del line["time"]
    expected = {"level": record.levelname.lower(), "event": "audit line not written"}
    assert list(line.items()) == [*expected.items(), *WORDS.items(), ("request_id", "r1")]
    assert record.levelno == level


def test_error_line_is_an_error_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing but the event and the error is needed."""
    with caplog.at_level(logging.INFO, journal.LOGGER.name):
        journal.error("cannot start", TROUBLE)
    assert caplog.records[0].levelno == logging.ERROR
