"""Bearer keys at rest: digests only, read again on change, and never opened by an accident."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import InputError
from glagol.web.access.api_keys import MARK, Key, KeyFile, Keyring, parse, sha256_of, was_on

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ring(*names: str) -> tuple[Keyring, list[str]]:
    """A ring and its keys' texts."""
    made, texts = Keyring(), []
    for name in names:
        made, text = made.add(name, created=NOW)
        texts.append(text)
    return made, texts


def test_a_key_is_found_by_its_text_alone() -> None:
    """Each by its own; not by its name, its digest, a part of it or nothing."""
    keys, texts = ring("alice", "bob")
    assert [found.name for text in texts if (found := keys.find(text))] == ["alice", "bob"]
    for wrong in ("", "alice", keys.keys[0].sha256, texts[0][:-1], texts[0] + " ", "ключ"):
        assert keys.find(wrong) is None


def test_the_file_holds_no_key() -> None:
    """Only its digest; and 256 bits are in the text."""
    keys, (text,) = ring("alice")
    stored = keys.written()
    assert text.encode() not in stored
    assert sha256_of(text).encode() in stored
    assert len(text.removeprefix("glagol_")) >= 43
    assert parse(stored) == keys


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9._-]{0,70}"))
def test_names_are_plain(name: str) -> None:
    """What a log line and a table can show."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        keys, _ = Keyring().add(name, created=NOW)
        assert parse(keys.written()) == keys
        return
    with pytest.raises(InputError) as caught:
        Keyring().add(name, created=NOW)
    assert caught.value.code == "option_invalid"


def test_a_name_is_taken_once() -> None:
    """Until it is revoked; what is revoked finds nothing any more."""
    keys, (text,) = ring("alice")
    with pytest.raises(InputError, match="alice"):
        keys.add("alice", created=NOW)
    left = keys.without("alice")
    assert left.find(text) is None
    left.add("alice", created=NOW)
    with pytest.raises(InputError) as caught:
        left.without("alice")
    assert caught.value.code == "not_found"


def test_scopes_and_time() -> None:
    """admin may everything; a key without a time never expires."""
    key = Key(name="a", sha256="0" * 64, created=NOW, scopes=("jobs",))
    assert key.may("jobs")
    assert key.may(None)
    assert not key.may("transcribe")
    assert msgspec.structs.replace(key, scopes=("admin",)).may("metrics")
    assert not key.expired(NOW + timedelta(days=9999))
    late = msgspec.structs.replace(key, expires=NOW + timedelta(days=1))
    assert not late.expired(NOW)
    assert late.expired(NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version":2,"keys":[]}',
        '{"keys":[{"name":"a","sha256":"00","created":"2026-01-01T00:00:00Z"}]}',
        '{"keys":[{"name":"a b","sha256":"%s","created":"2026-01-01T00:00:00Z"}]}' % ("0" * 64),
        '{"keys":[{"name":"a","sha256":"%s","created":"2026-01-01T00:00:00"}]}' % ("0" * 64),
        '{"keys":[{"name":"a","sha256":"%s","created":"2026-01-01T00:00:00Z","scope":1}]}'
        % ("0" * 64),
        '{"keys":[%s,%s]}'
        % ((f'{{"name":"a","sha256":"{"0" * 64}","created":"2026-01-01T00:00:00Z"}}',) * 2),
        "\x80",
    ],
)
def test_what_is_no_key_file_is_refused(text: str) -> None:
    """A damaged file is refused at the start: no key would work, or all would."""
    with pytest.raises(InputError) as caught:
        parse(text.encode("latin-1"))
    assert caught.value.code == "setting_invalid"
    assert "0" * 64 not in caught.value.message


def test_changes_count_at_once_and_accidents_open_nothing(tmp_path: Path) -> None:
    """Absent at start: off. Then a ring, an altered one, a broken one, none at all."""
    path, clock = tmp_path / "keys.json", Clock()
    file = KeyFile(path, clock)

    def later() -> Keyring | None:
        clock.now_s += 1.0
        return file.current()

    assert later() is None
    keys, _ = ring("alice", "bob")
    path.write_bytes(keys.written())
    assert later() == keys
    path.write_bytes(keys.without("bob").written())
    assert later() == keys.without("bob")
    path.write_bytes(b"{")
    assert later() == keys.without("bob")
    path.unlink()
    assert later() == keys.without("bob"), "a vanished file must not open the server"
    path.write_bytes(Keyring().written())
    assert later() == Keyring(), "no key left: closed to all callers, not open to all"


def test_a_start_without_the_file_opens_nothing_that_was_closed(tmp_path: Path) -> None:
    """Once keys were on, a missing file is an error until the operator removes the mark."""
    path, keys = tmp_path / "keys.json", ring("alice")[0]
    assert KeyFile(path).current() is None
    assert not was_on(tmp_path), "a server that never had keys leaves no mark"
    path.write_bytes(keys.written())
    assert KeyFile(path).current() == keys
    assert (tmp_path / MARK).stat().st_mode & 0o777 == 0o600
    path.unlink()
    with pytest.raises(InputError, match=r"keys were on, and .*keys\.json is gone"):
        KeyFile(path)
    (tmp_path / MARK).unlink()
    assert KeyFile(path).current() is None


def test_a_link_to_nothing_is_no_absent_file(tmp_path: Path) -> None:
    """Its target may be on a volume that is not mounted."""
    path = tmp_path / "keys.json"
    path.symlink_to(tmp_path / "volume" / "keys.json")
    with pytest.raises(InputError, match="link to a file that does not exist"):
        KeyFile(path)
    (tmp_path / "volume").mkdir()
    path.write_bytes(Keyring().written())
    assert KeyFile(path).current() == Keyring()


def test_required_keys_must_be_there(tmp_path: Path) -> None:
    """Also where the whole directory is another one, such as a volume's mount point."""
    with pytest.raises(InputError, match="keys are required") as caught:
        KeyFile(tmp_path / "unmounted" / "keys.json", required=True)
    assert "ASR_KEYS" in caught.value.remedy


def test_a_directory_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys count there as well; the log says that nothing will remember them."""
    (tmp_path / "keys.json").write_bytes(Keyring().written())
    tmp_path.chmod(0o500)
    try:
        assert KeyFile(tmp_path / "keys.json").current() == Keyring()
    finally:
        tmp_path.chmod(0o700)
    messages = [record.getMessage() for record in caplog.records]
    assert ("no mark that keys are on" in messages) != was_on(tmp_path)  # root may write anywhere


def test_a_broken_file_at_start_is_an_error(tmp_path: Path) -> None:
    """The server does not start open."""
    (tmp_path / "keys.json").write_bytes(b"{}x")
    with pytest.raises(InputError):
        KeyFile(tmp_path / "keys.json")
