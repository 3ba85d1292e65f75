"""The operator's policy: `policy.toml` in ASR_STATE, every value optional, read again on change.

Settings that one process needs to start are environment variables; what a team decides about
callers, receivers and keeping lives here. The types are the documentation of the file: a section
per struct, a line per attribute, and docs/reference/settings.md is made from them.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import logging
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.core.settings import Text
from glagol.web.access.watched_file import Reloaded

__all__ = [
    "Gpu",
    "Jobs",
    "Limits",
    "Metrics",
    "Policy",
    "PolicyFile",
    "Summaries",
    "Webhooks",
    "parse",
]

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
    """How much one caller may ask for; 0 means any amount."""

    rate_per_minute: Annotated[
        Count,
        Text(
            "Requests per minute of a key without a rate of its own; 0: any number.",
            "Запросов в минуту у ключа без своего предела; 0: сколько угодно.",
        ),
    ] = 0
    concurrent: Annotated[
        Count,
        Text(
            "Requests at one time of a key without a number of its own; 0: any number.",
            "Запросов одновременно у ключа без своего предела; 0: сколько угодно.",
        ),
    ] = 0
    client_rate_per_minute: Annotated[
        Count,
        Text(
            "Requests per minute of one client address while keys are off; 0: any number.",
            "Запросов в минуту с одного адреса, пока ключи выключены; 0: сколько угодно.",
        ),
    ] = 0


class Webhooks(_Section, frozen=True):
    """Where results may be sent, and how they are signed."""

    secrets: Annotated[
        tuple[str, ...],
        Text(
            "Each is `whsec_` and base64 of 24..64 bytes. A delivery carries a signature by "
            "each, so that secrets can be rotated. Empty: webhooks are refused.",
            "Каждый — `whsec_` и base64 от 24..64 байтов. В доставке есть подпись каждым, "
            "чтобы секреты можно было менять. Пусто: вебхуки отклоняются.",
        ),
    ] = ()
    allow: Annotated[
        tuple[str, ...],
        Text(
            "Networks such as `10.1.0.0/16` that may be called though they are not public. "
            "Link-local and metadata addresses stay refused.",
            "Сети, например `10.1.0.0/16`, которые можно вызывать, хотя они не публичные. "
            "Локальные для канала адреса и адреса метаданных остаются запрещены.",
        ),
    ] = ()
    ports: Annotated[
        tuple[Port, ...],
        Text(
            "TCP ports that may be called.",
            "Порты TCP, которые можно вызывать.",
        ),
    ] = (80, 443, 8000, 8080, 8443)
    attempts: Annotated[
        Attempts,
        Text(
            "Tries of one delivery.",
            "Попыток одной доставки.",
        ),
    ] = 10
    base_url: Annotated[
        str,
        Text(
            "Beginning of the links to results, such as `https://asr.example`; empty: the "
            "links have no host.",
            "Начало ссылок на результаты, например `https://asr.example`; пусто: ссылки без узла.",
        ),
    ] = ""

    def __post_init__(self) -> None:
        _check_url("base_url", self.base_url)
        for number, secret in enumerate(self.secrets):
            _check_secret(secret, number)
        for network in self.allow:
            ipaddress.ip_network(network)  # ValueError names the network and what is wrong

    def __repr__(self) -> str:  # secrets stay out of logs and tracebacks
        return f"Webhooks({len(self.secrets)} secrets, allow={self.allow}, ports={self.ports})"


class Jobs(_Section, frozen=True):
    """How jobs are run and kept."""

    attempts: Annotated[
        Attempts,
        Text(
            "Tries of one job.",
            "Попыток одного задания.",
        ),
    ] = 3
    lease_s: Annotated[
        float,
        Meta(ge=2, le=3600),
        Text(
            "Seconds of a worker's silence after which its job is given to another worker.",
            "Через сколько секунд молчания исполнителя его задание отдаётся другому.",
        ),
    ] = 30.0
    result_ttl_s: Annotated[
        float,
        Meta(ge=60, le=31_536_000),
        Text(
            "Seconds that an ended job, its result and its idempotency key are kept.",
            "Сколько секунд хранятся завершённое задание, его результат и ключ идемпотентности.",
        ),
    ] = 86400.0
    spool_bytes: Annotated[
        int,
        Meta(ge=1 << 20, le=1 << 50),
        Text(
            "Bytes that the inputs of all waiting jobs may take on disk.",
            "Сколько байтов на диске могут занять записи всех ожидающих заданий.",
        ),
    ] = 32 << 30


class Summaries(_Section, frozen=True):
    """The language model's service, which writes summaries."""

    url: Annotated[
        str,
        Text(
            "Address of llm-server, such as `http://127.0.0.1:8081`; empty: there are no "
            "summaries.",
            "Адрес llm-server, например `http://127.0.0.1:8081`; пусто: конспектов нет.",
        ),
    ] = ""
    key: Annotated[
        str,
        Text(
            "Bearer key for it, with the scope llm; empty while its keys are off.",
            "Ключ к нему, с правом llm; пусто, пока ключи у него выключены.",
        ),
    ] = ""

    def __post_init__(self) -> None:
        _check_url("url", self.url)

    def __repr__(self) -> str:  # the key stays out of logs and tracebacks
        return f"Summaries(url={self.url!r})"


class Gpu(_Section, frozen=True):
    """One card for both servers; without it each takes what its own settings say."""

    vram_gib: Annotated[
        float,
        Meta(ge=0, le=1024),
        Text(
            "Memory of the card in GiB, as nvidia-smi shows it; 0: no plan. A server that the "
            "plan has no room for does not start.",
            "Память карты в ГиБ, как её показывает nvidia-smi; 0: плана нет. Сервер, которому "
            "в плане не хватает места, не запускается.",
        ),
    ] = 0.0
    asr: Annotated[
        str,
        Text(
            "Model id of the recogniser on the card; empty: the manifest's default, `none`: "
            "no recogniser.",
            "Имя модели распознавания на карте; пусто: та, что в манифесте по умолчанию, "
            "`none`: никакой.",
        ),
    ] = ""
    llm: Annotated[
        str,
        Text(
            "Model id of the language model on the card; empty: the manifest's default, for "
            "llm-server the one that it serves; `none`: no language model.",
            "Имя языковой модели на карте; пусто: та, что в манифесте по умолчанию, для "
            "llm-server та, что в нём работает; `none`: никакой.",
        ),
    ] = ""


class Metrics(_Section, frozen=True):
    """Access to the metrics of the servers."""

    without_key: Annotated[
        bool,
        Text(
            "Whether `/metrics` answers this machine without a key while keys are on. Not where a "
            "proxy on this machine passes others' requests on: they may look like its own.",
            "Отвечает ли `/metrics` своей машине без ключа, когда ключи включены. Не там, где "
            "прокси на этой же машине передаёт чужие запросы: они могут выглядеть как её запросы.",
        ),
    ] = False


class Policy(_Section, frozen=True):
    """The whole file.

    Attributes:
        limits: Of callers.
        webhooks: To receivers.
        jobs: Running and keeping.
        summaries: The language model's service.
        gpu: The card that both servers share.
        metrics: Access to the metrics.
    """

    limits: Limits = msgspec.field(default_factory=Limits)
    webhooks: Webhooks = msgspec.field(default_factory=Webhooks)
    jobs: Jobs = msgspec.field(default_factory=Jobs)
    summaries: Summaries = msgspec.field(default_factory=Summaries)
    gpu: Gpu = msgspec.field(default_factory=Gpu)
    metrics: Metrics = msgspec.field(default_factory=Metrics)


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
        self._path = path
        self._file = Reloaded(path, self._read, clock) if clock else Reloaded(path, self._read)

    def current(self) -> Policy:
        """The policy as it is now; a broken change keeps the one before, and is logged."""
        return self._file.current()

    def _read(self, text: bytes | None) -> Policy:
        policy = parse(text)
        if (policy.webhooks.secrets or policy.summaries.key) and _others_can_read(self._path):
            journal.write(
                "other users of this machine can read the secrets in policy.toml",
                level=logging.WARNING,
                file=str(self._path),
                remedy=f"chmod 600 {self._path}",
            )
        return policy


def _others_can_read(path: Path) -> bool:
    """Whether users outside the file's group get to its bytes; the folder may keep them out."""
    try:
        return bool(path.stat().st_mode & 0o004 and path.parent.stat().st_mode & 0o001)
    except OSError:
        return False


_SECTIONS: Final[Mapping[str, type[_Section]]] = {
    "limits": Limits,
    "webhooks": Webhooks,
    "jobs": Jobs,
    "summaries": Summaries,
    "gpu": Gpu,
    "metrics": Metrics,
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
