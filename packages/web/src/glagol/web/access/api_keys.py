"""Bearer keys: `keys.json` in ASR_STATE, hashed at rest, read again when it changes.

Without a file, keys are off: every caller may do everything. A file, even an empty one, closes the
server to callers without a key in it. The mark `keys.on` beside the file stays when the file is
removed, so a lost file opens nothing. The file holds SHA-256 digests. A fast hash suffices: a key
is 256 random bits, which cannot be guessed, and a slow hash would burden every request.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from glagol.core import journal
from glagol.core.errors import HostError, InputError
from glagol.core.files import write_atomic
from glagol.web.access.policy import Count
from glagol.web.access.watched_file import Reloaded

__all__ = [
    "MARK",
    "SCOPES",
    "Key",
    "KeyFile",
    "Keyring",
    "Scope",
    "mark",
    "now_utc",
    "parse",
    "sha256_of",
    "was_on",
]

Scope = Literal["transcribe", "jobs", "llm", "embed", "search", "metrics", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "glagol_"
MARK: Final = "keys.on"
"""Name of the file beside keys.json that says that keys were on."""

VERSION: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key as it is stored.

    Attributes:
        name: Name of the owner; jobs belong to it, the log names it.
        sha256: Of the key's text, hexadecimal.
        created: When, in UTC.
        expires: From when on it is refused; None means never.
        scopes: What it may do; `admin` may do everything and sees the jobs of all owners.
        rate_per_minute: Requests per minute; None takes the policy's, 0 means any number.
        concurrent: Requests at one time; None takes the policy's, 0 means any number.
    """

    name: Annotated[str, Meta(pattern=f"^{_NAME.pattern}$")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    created: datetime
    expires: datetime | None = None
    scopes: tuple[Scope, ...] = ("transcribe", "jobs")
    rate_per_minute: Count | None = None
    concurrent: Count | None = None

    def may(self, scope: Scope | None) -> bool:
        """Whether it may do what needs `scope`; None needs no more than a key."""
        return scope is None or scope in self.scopes or "admin" in self.scopes

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


class Keyring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file.

    Attributes:
        version: Of the file's form.
        keys: In the order in which they were added; names are unique.
    """

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    def find(self, text: str) -> Key | None:
        """Find a key by its text, in a time that does not depend on the text."""
        digest, found = sha256_of(text), None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def same(self, key: Key) -> Key | None:
        """The key of the same name and text as it is in this ring; None when it is not there."""
        return next((k for k in self.keys if (k.name, k.sha256) == (key.name, key.sha256)), None)

    def add(self, name: str, *, created: datetime, **rest: Any) -> tuple[Keyring, str]:
        """This ring and a new key.

        Args:
            name: Not in the ring yet.
            created: Now, in UTC.
            **rest: The other attributes of `Key`.

        Returns:
            The new ring and the key's text, which is stored nowhere.

        Raises:
            InputError: `option_invalid`, the name is taken or has other than its characters.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                "option_invalid",
                f"{name[:64]!r} is no name for a key",
                "use 1..64 letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        if any(key.name == name for key in self.keys):
            raise InputError(
                "option_invalid",
                f"there is a key of the name {name!r}",
                f"take another name, or `glagol keys revoke {name}` first",
            )
        text = PREFIX + secrets.token_urlsafe(32)
        key = Key(name=name, sha256=sha256_of(text), created=created, **rest)
        return Keyring(keys=(*self.keys, key)), text

    def without(self, name: str) -> Keyring:
        """This ring less one key.

        Raises:
            InputError: `not_found`.
        """
        left = tuple(key for key in self.keys if key.name != name)
        if len(left) == len(self.keys):
            raise InputError(
                "not_found", f"there is no key of the name {name[:64]!r}", "see `glagol keys list`"
            )
        return Keyring(keys=left)

    def written(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class _Form(msgspec.Struct, frozen=True):
    version: int = 1


def sha256_of(text: str) -> str:
    """The digest under which a key's text is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse(data: bytes) -> Keyring:
    """The ring that `data` describes.

    Raises:
        InputError: `setting_invalid`; the message never holds the file's content.
    """
    found = VERSION
    try:
        found = msgspec.json.decode(data, type=_Form).version
        ring = msgspec.json.decode(data, type=Keyring)
        if len({key.name for key in ring.keys}) != len(ring.keys):
            raise msgspec.ValidationError("two keys have one name")
        for key in ring.keys:
            if any(at is not None and at.tzinfo is None for at in (key.created, key.expires)):
                raise msgspec.ValidationError(f"a time of {key.name} has no zone")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            "setting_invalid",
            f"keys.json has version {found}, this program reads version {VERSION}: {error}",
            "write it with `glagol keys`, or bring back the one before",
        ) from error
    return ring


class KeyFile:
    """`keys.json`, read again when it changes; see `Reloaded`.

    A file that goes away does not open the server: while the process runs, the last keys count;
    at its next start, `MARK` or `required` makes the absence an error.

    Args:
        path: The file; absent means that keys are off.
        clock: Monotonic seconds; None takes the system's.
        required: There must be a file.

    Raises:
        InputError: `setting_invalid`, the file is there and cannot be used, or it is absent and
            keys were on, or are required.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] | None = None, *, required: bool = False
    ) -> None:
        self._folder = path.parent
        self._required = required
        self._on = False
        self._file: Reloaded[Keyring | None]
        self._file = Reloaded(path, self._parse, clock) if clock else Reloaded(path, self._parse)

    def current(self) -> Keyring | None:
        """The keys; None when they are off."""
        return self._file.current()

    def _parse(self, data: bytes | None) -> Keyring | None:
        if data is not None:
            ring = parse(data)
            if not self._on:
                self._on = True
                self._remember()
            return ring
        if self._on:
            raise InputError(
                "setting_invalid",
                "keys.json is gone, the keys that it held still count",
                "bring it back; to serve without keys, run `glagol keys off` and start anew",
            )
        if was_on(self._folder):
            raise InputError(
                "setting_invalid",
                f"keys were on, and {self._folder / 'keys.json'} is gone",
                "bring it back, or add keys (`glagol keys add NAME`);"
                " to serve without keys, run `glagol keys off`",
            )
        if self._required:
            raise InputError(
                "setting_invalid",
                f"keys are required, and there is no {self._folder / 'keys.json'}",
                "mount the right directory, add a key (`glagol keys add NAME`),"
                " or do not set ASR_KEYS (LLM_KEYS) to required",
            )
        return None

    def _remember(self) -> None:
        """Write the mark; in a read-only directory only log that it is missing."""
        try:
            mark(self._folder)
        except HostError as error:
            journal.write(
                "no mark that keys are on",
                level=logging.WARNING,
                message=error.message,
                remedy="let the server write its directory of state, or require keys"
                " (ASR_KEYS=required, LLM_KEYS=required)",
            )


def was_on(folder: Path) -> bool:
    """Whether keys were on in this directory of state, as far as `mark` could say."""
    return os.path.lexists(folder / MARK)


def mark(folder: Path) -> None:
    """Note that keys are on in this directory of state; on the disk when this returns.

    Raises:
        HostError: `disk_full` or `host_io`.
    """
    if not was_on(folder):
        text = b"Keys are on: without keys.json the server does not start. See `glagol keys off`.\n"
        write_atomic(folder / MARK, text, mode=0o600)


def now_utc() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)
