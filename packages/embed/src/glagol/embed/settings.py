"""The settings of embed-server: `EMBED_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glagol.core.settings import ServerSettings, integer, number, port_setting, setting, word
from glagol.core.shares import ALONE
from glagol.web.access.body_rate import rate_setting

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "EMBED_"

    port: int = port_setting(8082)
    min_body_rate: float = rate_setting()
    variant: str = setting(
        "EMBED_VARIANT",
        "",
        word("a variant id such as cpu-int8", "имя варианта, например cpu-int8"),
        text="Variant of the model; empty: the one for the device.",
        text_ru="Вариант модели; пусто: тот, что подходит устройству.",
    )
    workers: int = setting(
        "EMBED_WORKERS",
        0,
        integer(0, 256, note=("0 = every core", "0 = все ядра")),
        text="Texts computed at one time, each by one thread. 0: one for each core that the process"
        " may use.",
        text_ru="Сколько текстов вычисляется одновременно, каждый одним потоком. 0: по одному на"
        " каждое ядро, доступное процессу.",
    )
    queue_size: int = setting(
        "EMBED_QUEUE_SIZE",
        64,
        integer(1, 10000),
        text="Requests that may be under way at one time.",
        text_ru="Сколько запросов может выполняться одновременно.",
    )
    owner_share: float = setting(
        "EMBED_OWNER_SHARE",
        ALONE,
        number(0.1, 1, "a part", "доля"),
        text="Part of the requests under way and of the connections that one key (without keys:"
        " one address) may use alone. 1: no shares.",
        text_ru="Доля одновременных запросов и соединений, которую один ключ (без ключей: один"
        " адрес) может занять в одиночку. 1: без долей.",
    )
