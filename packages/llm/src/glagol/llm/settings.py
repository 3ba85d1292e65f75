"""The server's settings: `LLM_*` environment variables, read once into a frozen value."""

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

PREFIX: Final = "LLM_"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose; every value is inside its documented range.

    Attributes:
        host: Address to listen on.
        port: TCP port, 1..65535.
        model_name: Model id or alias; empty means the manifest's default.
        python: Interpreter of vLLM's environment; empty means `.env/llm-cuda` beside the home.
        device: Where the model runs; chooses the variant.
        memory: Share of the device's memory that vLLM may take, weights and KV cache together.
        max_context: Tokens that a prompt and its completion may have together.
        max_concurrent: Requests served at one time; vLLM's batch has as many places.
        asr_url: asr-server, for summaries of its jobs; empty means none.
        log_level: Least severe log level written to stderr.
        trust: How the store is believed, see `glagol.registry.store`.
        state: Directory of keys and policy. Empty when the environment names no home either.
        cache_bytes: Size of vLLM's KV cache by the operator's plan of the card; 0 leaves the cache
            what `memory` has left. No variable sets it.
        unknown: `LLM_*` names that were set but mean nothing, each with a hint.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    model_name: str = ""
    python: str = ""
    device: Literal["cpu", "cuda"] = "cuda"
    memory: float = 0.6
    max_context: int = 8192
    max_concurrent: int = 8
    asr_url: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trust: Literal["rehash", "receipt"] = "rehash"
    state: str = ""
    cache_bytes: int = 0
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every `LLM_*` variable of `environment`; an empty value counts as unset.

        Raises:
            InputError: `setting_invalid`, naming the variable, its value and what it takes.
        """
        values = read(FIELDS, environment, {f.name: f.default for f in fields(cls)})
        values.setdefault("state", state_home(environment))
        return cls(**values, unknown=unknown(PREFIX, FIELDS, environment))

    def as_log(self) -> dict[str, object]:
        """The settings by variable name, for the log line at start."""
        return {field.name: getattr(self, field.attribute) for field in FIELDS}


FIELDS: Final = (
    Field("LLM_HOST", "host", "an address or host name without spaces", word),
    Field("LLM_PORT", "port", "a whole number 1..65535", integer(1, 65535)),
    Field("LLM_MODEL_NAME", "model_name", "a model id or alias of the manifest", word),
    Field("LLM_PYTHON", "python", "the path of a Python interpreter", folder),
    Field("LLM_DEVICE", "device", "one of cpu, cuda", choice("cpu", "cuda")),
    Field("LLM_MEMORY", "memory", "a share 0.01..0.98", number(0.01, 0.98)),
    Field("LLM_MAX_CONTEXT", "max_context", "a whole number 256..1048576", integer(256, 1 << 20)),
    Field("LLM_MAX_CONCURRENT", "max_concurrent", "a whole number 1..1024", integer(1, 1024)),
    Field("LLM_ASR_URL", "asr_url", "an http:// or https:// address", url("http", "https")),
    Field("LLM_LOG_LEVEL", "log_level", f"one of {', '.join(LOG_LEVELS)}", choice(*LOG_LEVELS)),
    Field("LLM_TRUST", "trust", "one of rehash, receipt", choice("rehash", "receipt")),
    Field("LLM_STATE", "state", "a directory", folder),
)
