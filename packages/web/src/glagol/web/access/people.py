"""People who may sign in: `people.json` beside keys.json, read again when it changes.

A person has a role, and a password where this server checks it; a person that a proxy or a provider
of identities names must be in the file as well. Passwords are kept as scrypt (RFC 7914) with 32 MiB
of work memory and a salt of 128 bits. To routes a person is a key that no text gives.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from glagol.core.errors import InputError
from glagol.web.access.api_keys import Key, Keyring, Scope
from glagol.web.access.watched_file import Reloaded

__all__ = [
    "FILE",
    "NAME",
    "PASSWORD_MIN",
    "People",
    "PeopleFile",
    "Person",
    "PersonKey",
    "Role",
    "hashed",
    "parse",
]

FILE: Final = "people.json"
Role = Literal["reader", "editor", "admin"]
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@\\+-]{0,99}"
PASSWORD_MIN: Final = 10
"""Characters that a password has at least."""

PASSWORD_MAX: Final = 1024
_N, _R, _P, _SALT, _LENGTH = 1 << 15, 8, 1, 16, 32
_MEMORY: Final = 64 << 20
_SCOPES: Final[dict[Role, tuple[Scope, ...]]] = {
    "reader": ("jobs", "search"),
    "editor": ("transcribe", "jobs", "search", "llm", "embed"),
    "admin": ("admin",),
}


class PersonKey(Key, frozen=True, kw_only=True):
    """A person as routes see one; `reads_only` people change nothing."""

    reads_only: bool = False


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person as the file has one.

    Attributes:
        name: As people, a proxy or a provider spell it.
        role: A reader reads and exports, an editor brings and changes recordings, an administrator
            has folders, too.
        password: As `hashed` gives it; empty where only a proxy or a provider may name the person.
        created: When, in UTC.
    """

    name: Annotated[str, Meta(pattern=f"^{NAME}$")]
    role: Role
    password: str = ""
    created: datetime

    def key(self) -> PersonKey:
        """What the person is to routes; another one after a change of password or role."""
        stamp = "\0".join((self.name, self.role, self.password)).encode()
        return PersonKey(
            name=self.name,
            sha256=hashlib.sha256(b"\xff" + stamp).hexdigest(),  # no text begins with this byte
            created=self.created,
            scopes=_SCOPES[self.role],
            rate_per_minute=0,
            concurrent=0,
            reads_only=self.role == "reader",
        )


class People(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file; names are unique."""

    version: Literal[1] = 1
    people: tuple[Person, ...] = ()

    def named(self, name: str) -> Person | None:
        """The person of that name, in any case."""
        return next((p for p in self.people if p.name.lower() == name.lower()), None)

    def entered(self, name: str, password: str) -> Person | None:
        """The person of this name and password; a wrong name takes as long as a right one."""
        person = self.named(name)
        stored = person.password if person is not None and person.password else _NO_PASSWORD
        fits = _fits(stored, password)
        return person if fits and person is not None and person.password else None

    def put(self, person: Person) -> People:
        """This list with a person added or replaced."""
        rest = tuple(p for p in self.people if p.name.lower() != person.name.lower())
        return People(people=(*rest, person))

    def without(self, name: str) -> People:
        """This list less one person.

        Raises:
            InputError: `not_found`.
        """
        found = self.named(name)
        if found is None:
            raise InputError(
                "not_found", f"there is no person {name[:100]!r}", "see `glagol people list`"
            )
        return People(people=tuple(p for p in self.people if p is not found))

    def beside(self, ring: Keyring | None) -> Keyring:
        """Keys and people as one ring."""
        keys = ring.keys if ring is not None else ()
        return Keyring(keys=(*keys, *(person.key() for person in self.people)))

    def written(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class PeopleFile:
    """`people.json`; see `Reloaded`. A file that goes away opens nothing: its last people count.

    Args:
        folder: Directory of state.

    Raises:
        InputError: `setting_invalid`, the file is there and cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._seen = False
        self._file = Reloaded(folder / FILE, self._parse)

    def current(self) -> People | None:
        """The people; None where there is no file."""
        return self._file.current()

    def _parse(self, data: bytes | None) -> People | None:
        if data is None and self._seen:
            raise InputError(
                "setting_invalid", f"{FILE} is gone", "bring it back, or write it anew"
            )
        self._seen = self._seen or data is not None
        return parse(data)


def parse(data: bytes | None) -> People | None:
    """The people that a file describes.

    Raises:
        InputError: `setting_invalid`; the message never holds the file's content.
    """
    if data is None:
        return None
    try:
        people = msgspec.json.decode(data, type=People)
        if len({each.name.lower() for each in people.people}) != len(people.people):
            raise msgspec.ValidationError("two people have one name")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            "setting_invalid",
            f"{FILE} cannot be read: {error}",
            "write it with `glagol people`, or bring back the one before",
        ) from error
    return people


def hashed(password: str) -> str:
    """What is kept of a password: `scrypt$N$r$p$SALT$HASH`.

    Raises:
        InputError: `option_invalid`, it is too short or too long.
    """
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise InputError(
            "option_invalid",
            f"the password has {len(password)} characters",
            f"take {PASSWORD_MIN}..{PASSWORD_MAX}",
        )
    salt = secrets.token_bytes(_SALT)
    digest = _scrypt(password, salt, _N, _R, _P)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(digest)}"


def _fits(stored: str, password: str) -> bool:
    _, n, r, p, salt, digest = stored.split("$")
    if len(password) > PASSWORD_MAX:
        return False
    made = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(made, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFKC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=_LENGTH)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NO_PASSWORD: Final = f"scrypt${_N}${_R}${_P}${_text(bytes(_SALT))}${_text(bytes(_LENGTH))}"
"""What a password is compared with where there is no such person."""
