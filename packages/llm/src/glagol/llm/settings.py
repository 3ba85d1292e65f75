"""The settings of llm-server: `LLM_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from glagol.core.settings import (
    ServerSettings,
    device_setting,
    folder,
    integer,
    number,
    port_setting,
    setting,
    url,
)

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "LLM_"

    port: int = port_setting(8081)
    device: Literal["cpu", "cuda"] = device_setting("cuda")
    python: str = setting(
        "LLM_PYTHON",
        "",
        folder("the path of a Python interpreter", "путь к интерпретатору Python"),
        text="Python of vLLM's environment; empty: .env/llm-cuda in GLAGOL_HOME.",
        text_ru="Python окружения vLLM; пусто: .env/llm-cuda в GLAGOL_HOME.",
    )
    memory: float = setting(
        "LLM_MEMORY",
        0.6,
        number(0.01, 0.98, "a share", "доля"),
        text="Share of the device's memory for vLLM, weights and KV cache together.",
        text_ru="Доля памяти устройства для vLLM: веса вместе с кэшем KV.",
    )
    max_context: int = setting(
        "LLM_MAX_CONTEXT",
        8192,
        integer(256, 1 << 20),
        text="Tokens that a prompt and its completion may have together.",
        text_ru="Сколько токенов могут занять запрос и ответ вместе.",
    )
    max_concurrent: int = setting(
        "LLM_MAX_CONCURRENT",
        8,
        integer(1, 1024),
        text="Requests served at one time; vLLM's batch has as many places.",
        text_ru="Сколько запросов обслуживается одновременно; столько же мест в пакете vLLM.",
    )
    asr_url: str = setting(
        "LLM_ASR_URL",
        "",
        url("http", "https"),
        text="Address of asr-server, for summaries of its jobs; empty: there is none.",
        text_ru="Адрес asr-server, для конспектов его заданий; пусто: его нет.",
    )
