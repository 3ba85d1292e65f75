"""The operator's file: defaults, refusals with a hint, and changes while the process runs."""

from __future__ import annotations

import base64
import logging
import re
import tomllib
from pathlib import Path

import pytest

from glagol.core.errors import InputError
from glagol.web.access.policy import Policy, PolicyFile, Webhooks, parse

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_file_the_defaults_count(tmp_path: Path) -> None:
    """The file is optional; without it webhooks are off."""
    policy = PolicyFile(tmp_path / "policy.toml").current()
    assert policy == Policy()
    assert not policy.webhooks.secrets


def test_every_section_is_read() -> None:
    """Whole numbers do for seconds."""
    policy = parse(
        f"""
        [limits]
        rate_per_minute = 60
        [webhooks]
        secrets = ["{SECRET}"]
        allow = ["10.0.0.0/8", "fd00::/8"]
        attempts = 4
        [jobs]
        lease_s = 20
        [summaries]
        url = "http://127.0.0.1:8081"
        """.encode()
    )
    assert policy.limits.rate_per_minute == 60
    assert policy.webhooks.attempts == 4
    assert policy.webhooks.allow == ("10.0.0.0/8", "fd00::/8")
    assert policy.jobs.lease_s == 20.0
    assert policy.summaries.url.endswith(":8081")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limit]", "did you mean limits?"),
        ("[jobs]\nleases_s = 3", "did you mean lease_s?"),
        ("[summaries]\ncolour = 3", "there are url"),
        ("jobs = 3", "$.jobs"),
        ("[jobs]\nattempts = 0", "$.jobs.attempts"),
        ("[jobs]\nlease_s = nan", "$.jobs.lease_s"),
        ('[webhooks]\nallow = ["10.0.0.1/8"]', "10.0.0.1/8"),
        ('[webhooks]\nsecrets = ["whsec_c2hvcnQ="]', "secrets[0]"),
        ('[summaries]\nurl = "ftp://x"', "http://"),
        ("[jobs", "policy.toml"),
        ("\udcff", "policy.toml"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    """An unknown name is an error, not a silent default; the message says where."""
    with pytest.raises(InputError) as caught:
        parse(text.encode(errors="surrogateescape"))
    assert caught.value.code == "setting_invalid"
    assert message in caught.value.message


def test_the_documented_policy_is_one() -> None:
    """What docs/reference/webhooks.md shows can be written into the file."""
    page = (Path(__file__).resolve().parents[3] / "docs/reference/webhooks.md").read_text()
    text = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0].replace("whsec_...", SECRET)
    policy = parse(text.encode())
    assert policy.webhooks.base_url == "https://asr.example"
    assert policy.webhooks.ports == Webhooks().ports
    assert policy.webhooks.attempts == Webhooks().attempts


@pytest.mark.parametrize("page", ["access.md", "access.ru.md"])
def test_the_documented_defaults_are_the_defaults(page: str) -> None:
    """Both pages show every name, each with the value that counts without a file."""
    folder = Path(__file__).resolve().parents[3] / "docs" / "guides"
    text = re.findall(r"```toml\n(.*?)```", (folder / page).read_text(), re.DOTALL)[0]
    assert parse(text.encode()) == Policy()
    shown = {section: set(names) for section, names in tomllib.loads(text).items()}
    known = {
        section: set(getattr(Policy(), section).__struct_fields__)
        for section in Policy().__struct_fields__
    }
    assert shown == known


def test_secrets_are_not_shown() -> None:
    """Neither by an error nor by a representation."""
    policy = parse(f'[webhooks]\nsecrets = ["{SECRET}"]'.encode())
    assert SECRET not in repr(policy)
    with pytest.raises(InputError) as caught:
        parse(f'[webhooks]\nsecrets = ["{SECRET[7:]}"]'.encode())
    assert SECRET[7:] not in str(caught.value)


def test_a_change_counts_and_a_broken_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Looked at once a second; a broken file is logged once; a removed one means defaults."""
    path, clock = tmp_path / "policy.toml", Clock()
    path.write_text("[jobs]\nattempts = 5\n")
    policy = PolicyFile(path, clock)
    assert policy.current().jobs.attempts == 5

    path.write_text("[jobs]\nattempts = 11\n")
    assert policy.current().jobs.attempts == 5, "not yet a second"
    clock.now_s += 1.0
    assert policy.current().jobs.attempts == 11

    path.write_text("[jobs]\nattempt = 7\n")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock.now_s += 1.0
            assert policy.current().jobs.attempts == 11
    assert len(caplog.records) == 1

    path.unlink()
    clock.now_s += 1.0
    assert policy.current() == Policy()


def test_a_broken_file_at_start_is_an_error(tmp_path: Path) -> None:
    """A damaged policy is refused at the start: its limits would be off."""
    path = tmp_path / "policy.toml"
    path.write_text("[limits]\nrate = 3\n")
    with pytest.raises(InputError, match="there are rate_per_minute"):
        PolicyFile(path)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "text", "logged"),
    [
        (0o644, 0o755, f'[webhooks]\nsecrets = ["{SECRET}"]', True),
        (0o644, 0o755, '[summaries]\nkey = "glagol_x"', True),
        (0o640, 0o755, f'[webhooks]\nsecrets = ["{SECRET}"]', False),
        (0o644, 0o700, f'[webhooks]\nsecrets = ["{SECRET}"]', False),
        (0o644, 0o755, "[jobs]\nattempts = 2", False),
    ],
)
def test_secrets_that_others_can_read_are_logged(
    file_mode: int, folder_mode: int, text: str, *, logged: bool, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A warning with the command that mends it, at start and after a change; no secret in it."""
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "policy.toml"
    path.write_text(text)
    path.chmod(file_mode)
    folder.chmod(folder_mode)
    clock = Clock()
    file = PolicyFile(path, clock)
    for count in (1, 2):
        lines = [r for r in caplog.records if "can read the secrets" in r.getMessage()]
        assert len(lines) == (count if logged else 0)
        path.write_text(text + "\n")
        clock.now_s += 1.0
        file.current()
    assert all(vars(line)["fields"]["remedy"] == f"chmod 600 {path}" for line in lines)
    assert SECRET not in caplog.text
    folder.chmod(0o700)
