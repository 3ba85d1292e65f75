"""The operator's policy: `policy.toml` in ASR_STATE, every value optional, read again on change.

Settings that one process needs to start are environment variables; what a team decides about
callers, receivers and keeping lives here. The types are the documentation of the file: a section
per struct, a line per attribute.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from glagol.core.errors import InputError
from glagol.web.access.watched_file import Reloaded

__all__ = ["Gpu", "Jobs", "Limits", "Policy", "PolicyFile", "Summaries", "Webhooks", "parse"]

VERSION: Final = 1
"""Of the file's form; a file that does not say its `version` is of 1."""

_READS: Final = f"this program reads version {VERSION}"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with is none
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Attempts = Annotated[int, Meta(ge=1, le=50)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the file."""


class Limits(_Section, frozen=True):
    """How much one caller may ask for; 0 means any amount.

    Attributes:
        rate_per_minute: Requests per minute of a key that has no rate of its own.
        concurrent: Requests at one time of a key that has no number of its own.
        client_rate_per_minute: Requests per minute of one client address while keys are off.
    """

    rate_per_minute: Count = 0
    concurrent: Count = 0
    client_rate_per_minute: Count = 0


class Webhooks(_Section, frozen=True):
    """Where results may be sent, and how they are signed.

    Attributes:
        secrets: `whsec_<base64 of 24..64 bytes>`; a delivery carries a signature by each, so
            that secrets can be rotated. Empty: webhooks are refused.
        allow: Networks such as `10.1.0.0/16` that may be called though they are not public.
            Link-local and metadata addresses stay refused.
        ports: TCP ports that may be called.
        attempts: How often one delivery is tried.
        base_url: What links to results begin with, such as `https://asr.example`; empty leaves
            them without a host.
    """

    secrets: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    ports: tuple[Port, ...] = (80, 443, 8000, 8080, 8443)
    attempts: Attempts = 10
    base_url: str = ""

    def __post_init__(self) -> None:
        _check_url("base_url", self.base_url)
        for number, secret in enumerate(self.secrets):
            _check_secret(secret, number)
        for network in self.allow:
            ipaddress.ip_network(network)  # ValueError names the network and what is wrong

    def __repr__(self) -> str:  # secrets stay out of logs and tracebacks
        return f"Webhooks({len(self.secrets)} secrets, allow={self.allow}, ports={self.ports})"


class Jobs(_Section, frozen=True):
    """How jobs are run and kept.

    Attributes:
        attempts: How often a job is tried.
        lease_s: Seconds after which a silent worker's job is given to another.
        result_ttl_s: Seconds that an ended job, its result and its idempotency key are kept.
        spool_bytes: How much the inputs of all waiting jobs may take on disk.
    """

    attempts: Attempts = 3
    lease_s: Annotated[float, Meta(ge=2, le=3600)] = 30.0
    result_ttl_s: Annotated[float, Meta(ge=60, le=31_536_000)] = 86400.0
    spool_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 50)] = 32 << 30


class Summaries(_Section, frozen=True):
    """Who writes summaries.

    Attributes:
        url: Of llm-server, such as `http://127.0.0.1:8081`; empty means nobody.
        key: Bearer key for it, with the scope llm; empty while its keys are off.
    """

    url: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        _check_url("url", self.url)

    def __repr__(self) -> str:  # the key stays out of logs and tracebacks
        return f"Summaries(url={self.url!r})"


class Gpu(_Section, frozen=True):
    """One card for both servers; without it each takes what its own settings say.

    Attributes:
        vram_gib: Memory of the card, as nvidia-smi shows it; 0 means no plan. A server that the
            plan has no room for does not start.
        asr: Model id of the recogniser on it; empty means the manifest's default, "none" that
            there is none.
        llm: The same for the language model.
    """

    vram_gib: Annotated[float, Meta(ge=0, le=1024)] = 0.0
    asr: str = ""
    llm: str = ""


class Policy(_Section, frozen=True):
    """The whole file.

    Attributes:
        limits: Of callers.
        webhooks: To receivers.
        jobs: Running and keeping.
        summaries: The language model's service.
        gpu: The card that both servers share.
    """

    limits: Limits = msgspec.field(default_factory=Limits)
    webhooks: Webhooks = msgspec.field(default_factory=Webhooks)
    jobs: Jobs = msgspec.field(default_factory=Jobs)
    summaries: Summaries = msgspec.field(default_factory=Summaries)
    gpu: Gpu = msgspec.field(default_factory=Gpu)


def parse(text: bytes | None) -> Policy:
    """The policy that `text` (TOML, UTF-8) describes; None is the default one.

    Raises:
        InputError: `setting_invalid`, saying which name or value is wrong.
    """
    if text is None:
        return Policy()
    try:
        table = tomllib.loads(text.decode())
        found = table.pop("version", VERSION)
        if found != VERSION:
            raise ValueError(f"it has version {found!r}, {_READS}")
        _refuse_unknown(table)
        return msgspec.convert(table, Policy)
    except (ValueError, msgspec.ValidationError) as error:
        raise InputError(
            "setting_invalid", f"policy.toml: {error}", "correct the file, or remove it"
        ) from error


class PolicyFile:
    """`policy.toml`, read again when it changes; see `Reloaded`.

    Args:
        path: The file; absent means the defaults.
        clock: Monotonic seconds; None takes the system's.

    Raises:
        InputError: `setting_invalid`, the file cannot be used.
    """

    def __init__(self, path: Path, clock: Callable[[], float] | None = None) -> None:
        self._file = Reloaded(path, parse, clock) if clock else Reloaded(path, parse)

    def current(self) -> Policy:
        """The policy as it is now; a broken change keeps the one before, and is logged."""
        return self._file.current()


_SECTIONS: Final[Mapping[str, type[_Section]]] = {
    "limits": Limits,
    "webhooks": Webhooks,
    "jobs": Jobs,
    "summaries": Summaries,
    "gpu": Gpu,
}


def _refuse_unknown(table: Mapping[str, Any]) -> None:
    for section, values in table.items():
        _known(section, _SECTIONS, "section")
        if isinstance(values, dict):
            for name in values:
                _known(name, _SECTIONS[section].__struct_fields__, f"name in [{section}]")


def _known(name: str, names: Mapping[str, Any] | tuple[str, ...], what: str) -> None:
    if name in names:
        return
    near = difflib.get_close_matches(name, list(names), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    raise ValueError(
        f"unknown {what}: {name[:64]!r} ({hint}); the file has version {VERSION}, {_READS}"
    )


def _check_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError(f"{name} is not an http:// or https:// address")


def _check_secret(secret: str, number: int) -> None:
    """Refuse what is no secret, without showing it."""
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not (secret.startswith(SECRET_PREFIX) and SECRET_BYTES_MIN <= size <= SECRET_BYTES_MAX):
        raise ValueError(
            f"secrets[{number}] is not {SECRET_PREFIX} and base64"
            f" of {SECRET_BYTES_MIN}..{SECRET_BYTES_MAX} bytes"
        ) from None
