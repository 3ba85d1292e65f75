"""The settings of rag-server: `RAG_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glagol.core.settings import (
    ServerSettings,
    folder,
    integer,
    number,
    port_setting,
    setting,
    url,
    word,
)
from glagol.core.shares import ALONE
from glagol.web.access.body_rate import rate_setting

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "RAG_"

    port: int = port_setting(8083)
    min_body_rate: float = rate_setting()
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
    queue_size: int = setting(
        "RAG_QUEUE_SIZE",
        32,
        integer(1, 10000),
        text="Requests that may be under way at one time.",
        text_ru="Сколько запросов может выполняться одновременно.",
    )
    owner_share: float = setting(
        "RAG_OWNER_SHARE",
        ALONE,
        number(0.1, 1, "a part", "доля"),
        text="Part of the requests under way and of the connections that one key (without keys:"
        " one address) may use alone. 1: no shares.",
        text_ru="Доля одновременных запросов и соединений, которую один ключ (без ключей: один"
        " адрес) может занять в одиночку. 1: без долей.",
    )
