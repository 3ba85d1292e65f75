"""The settings of rag-server: `RAG_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glagol.core.settings import (
    ServerSettings,
    folder,
    places_setting,
    port_setting,
    setting,
    share_setting,
    url,
    word,
)

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "RAG_"

    port: int = port_setting(8083)
    index: str = setting(
        "RAG_INDEX",
        "",
        folder("a directory", "каталог"),
        text="Directory of the index; empty: search in RAG_STATE.",
        text_ru="Каталог указателя; пусто: search в RAG_STATE.",
    )
    llm_url: str = setting(
        "RAG_LLM_URL",
        "",
        url("http", "https"),
        text="Address of llm-server, which writes answers; empty: answers are quotes.",
        text_ru="Адрес llm-server, который пишет ответы; пусто: ответы состоят из цитат.",
    )
    llm_key: str = setting(
        "RAG_LLM_KEY",
        "",
        word("a key", "ключ"),
        secret=True,
        text="Key for llm-server, where it asks for one.",
        text_ru="Ключ для llm-server, если он его требует.",
    )
    queue_size: int = places_setting(32)
    owner_share: float = share_setting()
