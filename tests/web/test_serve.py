"""What every server's process does around its routes: exit status, first log lines, signals."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from typing import Any

import pytest

from glagol.core import journal
from glagol.core.errors import CODES, HostError, InputError
from glagol.core.settings import ServerSettings
from glagol.web import bind, serve
from glagol.web.access.api_keys import Keyring


class Settings:
    """An operator's, with one slip."""

    unknown = ("ASR_PROT (did you mean ASR_PORT?)",)

    def as_log(self) -> dict[str, object]:
        """One setting."""
        return {"port": 1}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the log so far: (level, event, fields) by line."""
    monkeypatch.setattr(journal, "configure", lambda _level: None)  # caplog's handler stays
    caplog.set_level(logging.DEBUG, journal.LOGGER.name)
    return lambda: [(r.levelname, r.getMessage(), r.__dict__["fields"]) for r in caplog.records]


@pytest.mark.parametrize("code", CODES)
def test_exit_status_is_the_table_s(code: str, lines: Any) -> None:
    """What is raised on purpose is one line and a status, never a traceback."""

    def run() -> None:
        raise CODES[code].family(code, "what", "do")

    assert serve.exit_status(run) == CODES[code].exit_status
    words = {"code": code, "message": "what", "remedy": "do"}
    assert lines() == [("ERROR", "cannot start", words)]


def test_a_bug_is_not_hidden(lines: Any) -> None:
    """The interpreter prints it; and an end without an error is status 0."""

    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve.exit_status(run)
    assert serve.exit_status(lambda: None) == 0
    assert lines() == []


def test_the_first_lines(lines: Any) -> None:
    """What serves comes first; then a line for each variable that means nothing."""
    serve.starting(Settings(), model="m", manifest_version=3)
    (start, unknown) = lines()
    assert start[:2] == ("INFO", "starting")
    assert list(start[2]) == ["model", "manifest_version", "python", "settings"]
    assert start[2]["settings"] == {"port": 1}
    assert unknown == ("WARNING", "unknown setting ignored", {"setting": Settings.unknown[0]})


@pytest.mark.parametrize(
    ("ring", "host", "expected"),
    [
        (Keyring(), "0.0.0.0", ["keys are on"]),  # noqa: S104
        (Keyring(), "127.0.0.1", ["keys are on"]),
        (None, "127.0.0.1", ["keys are off"]),
        (None, "192.0.2.1", ["listening beyond this machine without access control"]),
    ],
)
def test_open_doors_are_announced(
    ring: Keyring | None, host: str, expected: list[str], lines: Any
) -> None:
    """A warning without keys, a louder one where other machines reach it; remedies are whole."""
    serve.announce_access(ring, host, prefix="LLM_", add="glagol keys add NAME")
    assert [event for _, event, _ in lines()] == expected
    for level, _, fields in lines():
        if "remedy" in fields:
            assert level == "WARNING"
            assert "`glagol keys add NAME`" in fields["remedy"]
            assert "LLM_HOST=127.0.0.1" in fields["remedy"] or "LLM_KEYS" in fields["remedy"]


def test_without_a_state_directory_nothing_is_restricted() -> None:
    """No keys, and the default policy."""
    assert serve.key_file("")() is None
    assert serve.policy_file("")() == serve.UNRESTRICTED.policy()


def test_a_second_signal_ends_it_at_once(lines: Any) -> None:
    """Each signal calls `stop`; a cancelled server is a warning and not an exception."""
    calls = 0

    async def serving() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    def stop(task: asyncio.Task[None]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            task.cancel()

    asyncio.run(asyncio.wait_for(serve.until_signal(serving(), stop), 30))
    assert calls == 2
    assert lines() == [("WARNING", "stopped with requests under way", {})]


def test_a_server_that_ends_by_itself_says_nothing(lines: Any) -> None:
    """As after the first signal, when no request is under way."""
    asyncio.run(serve.until_signal(asyncio.sleep(0), lambda _task: None))
    assert lines() == []


@pytest.mark.parametrize("host", ["localhost", "127.1", "0"])
def test_names_and_short_addresses_are_listened_on(host: str) -> None:
    """The address is known as numbers before anything is loaded: granian knows no names."""
    given = ServerSettings.from_environment({"HOST": host}).host
    found = ipaddress.ip_address(bind.probe(given, 0, "ASR_"))
    assert found.is_loopback or (host == "0" and found.is_unspecified)
    assert ServerSettings.from_environment({"HOST": "[::1]"}).host == "::1"


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "192.0.2.1"])
def test_an_address_that_cannot_be_had_is_one_line(host: str) -> None:
    """What is no name of DNS, and an address of another machine; no resolver is asked."""
    with pytest.raises(HostError, match=f"cannot listen on {host}:0: .+") as caught:
        bind.probe(host, 0, "ASR_")
    assert (caught.value.code, "ASR_HOST" in caught.value.remedy) == ("host_io", True)


@pytest.mark.parametrize("host", ["300.1", "1.2.3.4.5", "01.2.3.4", "4294967296", "two words"])
def test_numbers_that_are_no_address_are_refused(host: str) -> None:
    """When the settings are read; a name resolver would be asked for them in vain."""
    with pytest.raises(InputError, match="HOST="):
        ServerSettings.from_environment({"HOST": host})
