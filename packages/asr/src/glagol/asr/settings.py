"""The server's settings: `ASR_*` environment variables, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

from glagol.core.settings import (
    LOG_LEVELS,
    Field,
    choice,
    folder,
    integer,
    number,
    read,
    state_home,
    unknown,
    url,
    word,
)

__all__ = ["FIELDS", "Settings"]

PREFIX: Final = "ASR_"


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
        short_audio_s: Audio up to this many seconds, but at most the window that the model's
            engine reads (25 s for the models of this release), skips voice detection.
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
        values = read(FIELDS, environment, {f.name: f.default for f in fields(cls)})
        values.setdefault("state", state_home(environment))
        return cls(**values, unknown=unknown(PREFIX, FIELDS, environment))

    def as_log(self) -> dict[str, object]:
        """The settings by variable name, for the log line at start; a password is masked."""
        shown = {field.name: getattr(self, field.attribute) for field in FIELDS}
        if "@" in self.redis_url:
            scheme, _, rest = self.redis_url.partition("://")
            shown["ASR_REDIS_URL"] = f"{scheme}://***@{rest.rpartition('@')[2]}"
        return shown


FIELDS: Final = (
    Field("ASR_HOST", "host", "an address or host name without spaces", word),
    Field("ASR_PORT", "port", "a whole number 1..65535", integer(1, 65535)),
    Field("ASR_MODEL_NAME", "model_name", "a model id or alias of the manifest", word),
    Field("ASR_VARIANT", "variant", "a variant id such as cpu-int8", word),
    Field("ASR_DEVICE", "device", "one of cpu, cuda", choice("cpu", "cuda")),
    Field(
        "ASR_THREADS",
        "threads",
        "a whole number 0..256 (0 = every core, at most 4)",
        integer(0, 256),
    ),
    Field("ASR_SHORT_AUDIO_THRESHOLD", "short_audio_s", "seconds 0..86400", number(0.0, 86400.0)),
    Field("ASR_WEBHOOK_TIMEOUT", "webhook_timeout_s", "seconds 1..600", number(1.0, 600.0)),
    Field(
        "ASR_REDIS_URL",
        "redis_url",
        "a redis://, rediss:// or unix:// address",
        url("redis", "rediss", "unix"),
        secret=True,
    ),
    Field(
        "ASR_MAX_UPLOAD_BYTES",
        "max_upload_bytes",
        "a whole number of bytes 1..1099511627776",
        integer(1, 1 << 40),
    ),
    Field("ASR_MAX_AUDIO_SECONDS", "max_audio_s", "seconds 1..604800", number(1.0, 604800.0)),
    Field("ASR_QUEUE_SIZE", "queue_size", "a whole number 1..10000", integer(1, 10000)),
    Field(
        "ASR_LOG_LEVEL",
        "log_level",
        f"one of {', '.join(LOG_LEVELS)}",
        choice(*LOG_LEVELS),
    ),
    Field("ASR_TRUST", "trust", "one of rehash, receipt", choice("rehash", "receipt")),
    Field("ASR_STATE", "state", "a directory", folder),
)
