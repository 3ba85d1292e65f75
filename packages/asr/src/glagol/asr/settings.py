"""The server's settings: `ASR_*` environment variables, read once into a frozen value.

One table (`FIELDS`) says for each variable its name, its default and what it takes; the error
for a bad value is made from the same row, so message and check cannot drift apart.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from glagol.registry.errors import InputError

__all__ = ["FIELDS", "LOOPBACK", "Field", "Settings"]

PREFIX: Final = "ASR_"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose; every value is inside its documented range.

    Attributes:
        host: Address to listen on.
        port: TCP port, 1..65535.
        model_name: Model id or alias; empty means the manifest's default.
        variant: Variant id such as `cpu-int8`; empty lets the device choose.
        device: Where the encoder runs.
        threads: Threads of one inference, 0..256; 0 means every core, at most four.
        short_audio_s: Audio up to this many seconds skips voice detection.
        webhook_timeout_s: Seconds a webhook receiver may take (jobs).
        redis_url: Job queue of several machines; empty means inside this process (jobs).
        max_upload_bytes: Largest accepted audio file.
        max_audio_s: Longest accepted audio in seconds.
        queue_size: Requests that may wait while one is transcribed.
        log_level: Least severe log level written to stderr.
        trust: How the store is believed, see `glagol.registry.store`.
        state: Directory of what must survive: jobs, their inputs, keys, policy. Empty when the
            environment names no home either.
        unknown: `ASR_*` names that were set but mean nothing, each with a hint.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    model_name: str = ""
    variant: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 0
    short_audio_s: float = 30.0
    webhook_timeout_s: float = 60.0
    redis_url: str = ""
    max_upload_bytes: int = 2 << 30
    max_audio_s: float = 43200.0
    queue_size: int = 16
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trust: Literal["rehash", "receipt"] = "rehash"
    state: str = ""
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every `ASR_*` variable of `environment`.

        Args:
            environment: Usually `os.environ`; other names are ignored. An empty value counts
                as unset, as compose files write it.

        Raises:
            InputError: `setting_invalid`, naming the variable, its value and what it takes.
        """
        values: dict[str, Any] = {
            field.attribute: field.read(environment[field.name])
            for field in FIELDS
            if environment.get(field.name)
        }
        values.setdefault("state", _state_home(environment))
        return cls(**values, unknown=_unknown(environment))

    def as_log(self) -> dict[str, object]:
        """The settings by variable name, for the log line at start; a password is masked."""
        shown = {field.name: getattr(self, field.attribute) for field in FIELDS}
        if "@" in self.redis_url:
            scheme, _, rest = self.redis_url.partition("://")
            shown["ASR_REDIS_URL"] = f"{scheme}://***@{rest.rpartition('@')[2]}"
        return shown


@dataclass(frozen=True, slots=True)
class Field:
    """One environment variable.

    Attributes:
        name: The variable.
        attribute: The field of `Settings` that it fills.
        takes: The allowed range in words, as the error message says it.
        parse: Text to value; raises ValueError for anything outside the range.
    """

    name: str
    attribute: str
    takes: str
    parse: Callable[[str], Any]

    def read(self, text: str) -> Any:
        """Turn `text` into the field's value.

        Raises:
            InputError: `setting_invalid`.
        """
        try:
            return self.parse(text.strip())
        except ValueError:
            shown = "***" if self.attribute == "redis_url" else repr(text)
            raise InputError(
                "setting_invalid",
                f"{self.name}={shown} is not {self.takes}",
                f"set {self.name} to {self.takes}, or unset it for the default"
                f" ({_DEFAULTS[self.attribute]!r})",
            ) from None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(text)
        return value

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(text)
        return text.lower()

    return parse


def _word(text: str) -> str:
    if not text or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(text)
    return text


def _redis(text: str) -> str:
    if not text.startswith(REDIS_SCHEMES):
        raise ValueError(text)
    return _word(text)


def _folder(text: str) -> str:
    if "\0" in text or not text:
        raise ValueError(text)
    return str(Path(text).absolute())


def _state_home(environment: Mapping[str, str]) -> str:
    """Where programs of this user keep their state, by the XDG base directory specification."""
    given = environment.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return f"{given.rstrip('/')}/glagol"
    home = environment.get("HOME", "")
    return f"{home.rstrip('/')}/.local/state/glagol" if home.startswith("/") else ""


def _unknown(environment: Mapping[str, str]) -> tuple[str, ...]:
    known = [field.name for field in FIELDS]
    notes = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            notes.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return tuple(notes)


_DEFAULTS: Final = {field.name: field.default for field in fields(Settings)}

FIELDS: Final = (
    Field("ASR_HOST", "host", "an address or host name without spaces", _word),
    Field("ASR_PORT", "port", "a whole number 1..65535", _integer(1, 65535)),
    Field("ASR_MODEL_NAME", "model_name", "a model id or alias of the manifest", _word),
    Field("ASR_VARIANT", "variant", "a variant id such as cpu-int8", _word),
    Field("ASR_DEVICE", "device", "one of cpu, cuda", _choice("cpu", "cuda")),
    Field(
        "ASR_THREADS",
        "threads",
        "a whole number 0..256 (0 = every core, at most 4)",
        _integer(0, 256),
    ),
    Field("ASR_SHORT_AUDIO_THRESHOLD", "short_audio_s", "seconds 0..86400", _seconds(0.0, 86400.0)),
    Field("ASR_WEBHOOK_TIMEOUT", "webhook_timeout_s", "seconds 1..600", _seconds(1.0, 600.0)),
    Field("ASR_REDIS_URL", "redis_url", "a redis://, rediss:// or unix:// address", _redis),
    Field(
        "ASR_MAX_UPLOAD_BYTES",
        "max_upload_bytes",
        "a whole number of bytes 1..1099511627776",
        _integer(1, 1 << 40),
    ),
    Field("ASR_MAX_AUDIO_SECONDS", "max_audio_s", "seconds 1..604800", _seconds(1.0, 604800.0)),
    Field("ASR_QUEUE_SIZE", "queue_size", "a whole number 1..10000", _integer(1, 10000)),
    Field(
        "ASR_LOG_LEVEL",
        "log_level",
        "one of debug, info, warning, error",
        _choice("debug", "info", "warning", "error"),
    ),
    Field("ASR_TRUST", "trust", "one of rehash, receipt", _choice("rehash", "receipt")),
    Field("ASR_STATE", "state", "a directory", _folder),
)
