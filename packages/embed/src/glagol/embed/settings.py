"""The settings of embed-server: `EMBED_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glagol.core.settings import (
    ServerSettings,
    integer,
    places_setting,
    port_setting,
    setting,
    share_setting,
    variant_setting,
)

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "EMBED_"

    port: int = port_setting(8082)
    variant: str = variant_setting()
    workers: int = setting(
        "EMBED_WORKERS",
        0,
        integer(0, 256, note=("0 = every core", "0 = все ядра")),
        text="Texts computed at one time, each by one thread. 0: one for each core that the process"
        " may use.",
        text_ru="Сколько текстов вычисляется одновременно, каждый одним потоком. 0: по одному на"
        " каждое ядро, доступное процессу.",
    )
    queue_size: int = places_setting(64)
    owner_share: float = share_setting()
