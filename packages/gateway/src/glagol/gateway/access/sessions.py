"""People who signed in: 256 random bits in a cookie, their digest in the library.

A session stands for the key that its person signed in with, and ends with it. Pages of other sites
cannot use it: the cookie is SameSite=Strict, and a request that changes something must say that it
comes from a page of this server, by `Sec-Fetch-Site`, `Origin` or a header of our own.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final

import msgspec

from glagol.web.access.host_check import header
from glagol.web.access.people import PersonKey
from glagol.web.access.rate_limit import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from glagol.gateway.access.proxy import Proxy
    from glagol.jobs.sqlite.connection import Database
    from glagol.web.access.api_keys import Key, Keyring

__all__ = ["AGE_S", "OWN_HEADER", "PLAIN", "SECURE", "Sessions", "cookie", "set_cookie"]

SECURE: Final = "__Host-glagol"
"""Name of the cookie under TLS."""

PLAIN: Final = "glagol_session"
"""Name of the cookie without TLS."""

OWN_HEADER: Final = b"x-glagol"
IDLE_S: Final = 12 * 3600.0
AGE_S: Final = 7 * 86_400.0
PER_PERSON: Final = 20
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class _Session(msgspec.Struct):
    name: str
    key_sha256: str
    made_s: float
    used_s: float


class Sessions:
    """The sessions of one server; safe from any thread.

    Args:
        database: Of the library; it is read once and written at each signing in and out.
        clock: Unix seconds.
        proxy: Names people without a session; None where there is none.

    Raises:
        HostError: The database cannot be used; so do `begin` and `end`.

    Attributes:
        tries: How often each address has tried to sign in.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], proxy: Proxy | None = None
    ) -> None:
        self._proxy = proxy
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self.tries = Rate()
        with database.reading() as db:
            rows = db.execute("SELECT sha256, name, key_sha256, made_s, used_s FROM session")
            self._known = {sha256: _Session(*rest) for sha256, *rest in rows}

    def begin(self, key: Key) -> str:
        """A new session for the person of a key; what the cookie holds.

        The oldest session of a person with too many of them ends.
        """
        token, now = secrets.token_urlsafe(32), self._clock()
        sha256 = _digest(token)
        with self._lock:
            self._known[sha256] = _Session(key.name, key.sha256, now, now)
            own = [each for each, one in self._known.items() if one.name == key.name]
            stale = {each for each, one in self._known.items() if self._over(one)}
            stale |= set(sorted(own, key=lambda each: self._known[each].made_s)[:-PER_PERSON])
            for each in stale:
                del self._known[each]
        with self._database.writing() as db:
            db.executemany("DELETE FROM session WHERE sha256 = ?", [(each,) for each in stale])
            row = (sha256, key.name, key.sha256, now, now)
            db.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?)", row)
        return token

    def end(self, token: str) -> None:
        """Sign out; an unknown session is no error."""
        sha256 = _digest(token)
        with self._lock:
            known = self._known.pop(sha256, None)
        if known is not None:
            with self._database.writing() as db:
                db.execute("DELETE FROM session WHERE sha256 = ?", (sha256,))

    def signed(self, scope: Mapping[str, Any], ring: Keyring) -> Key | None:
        """The key that a request stands for by its cookie or its proxy; None where it has none.

        Args:
            scope: Of the request.
            ring: The keys as they are now.
        """
        if not _from_a_page(scope):
            return None
        if self._proxy is not None:
            name = self._proxy.person(scope).lower()
            return next((k for k in _people(ring) if k.name.lower() == name), None)
        token = cookie(scope)
        if not token:
            return None
        now = self._clock()
        with self._lock:
            session = self._known.get(_digest(token))
            if session is None or self._over(session):
                return None
            session.used_s = now
        found = (k for k in ring.keys if (k.name, k.sha256) == (session.name, session.key_sha256))
        return next(found, None)

    def _over(self, session: _Session) -> bool:
        now = self._clock()
        return now > min(session.made_s + AGE_S, session.used_s + IDLE_S)


def set_cookie(scope: Mapping[str, Any], token: str, age_s: int) -> str:
    """The header that gives a browser its session; bound to the host under TLS."""
    forwarded = header(dict(scope), b"x-forwarded-proto")
    secure = (forwarded[0] if forwarded else scope["scheme"]) == "https"
    name, flags = (SECURE, "; Secure") if secure else (PLAIN, "")
    return f"{name}={token}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{flags}"


def _people(ring: Keyring) -> Iterator[PersonKey]:
    return (key for key in ring.keys if isinstance(key, PersonKey))


def cookie(scope: Mapping[str, Any]) -> str:
    """What the cookie of a session holds; empty without one."""
    for text in header(dict(scope), b"cookie"):
        try:
            jar = SimpleCookie(text[:4096])
        except CookieError:
            continue
        for name in (SECURE, PLAIN):
            if name in jar:
                return jar[name].value
    return ""


def _from_a_page(scope: Mapping[str, Any]) -> bool:
    """Whether a request that changes something says where it comes from; where is checked before.

    `host_check` has refused foreign pages by these headers already; the request of a browser
    that sends none looks like a forged form.
    """
    if scope["type"] == "http" and scope["method"] in _SAFE:
        return True
    names = (b"sec-fetch-site", b"origin", OWN_HEADER)
    return any(header(dict(scope), name) for name in names)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
