"""The settings of asr-server and asr-worker: `ASR_*` environment variables, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from glagol.asr.engine_models import ENGINES_TAKE, parse
from glagol.asr.inference.threads import THREADS
from glagol.core.settings import (
    ServerSettings,
    Takes,
    choice,
    integer,
    number,
    setting,
    url,
    variant_setting,
)
from glagol.core.shares import ALONE

__all__ = ["SERVER_ONLY", "Settings"]

SERVER_ONLY: Final = (
    "ASR_HOST",
    "ASR_PORT",
    "ASR_HOSTS",
    "ASR_ORIGINS",
    "ASR_KEYS",
    "ASR_MIN_BODY_RATE",
)
"""Variables that asr-worker does not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "ASR_"

    variant: str = variant_setting()
    default_models: str = setting(
        "ASR_DEFAULT_MODELS",
        "",
        Takes(*ENGINES_TAKE, parse),
        text="Model of each engine: a request for the engine's name gets it. Empty: the models that"
        " have that name as an alias in the manifest.",
        text_ru="Модель каждого движка: её получает запрос с именем движка. Пусто: модели, у"
        " которых это имя записано псевдонимом в манифесте.",
    )
    threads: int = setting(
        "ASR_THREADS",
        0,
        integer(
            0,
            256,
            note=(
                f"0 = every core, at most {THREADS}",
                f"0 = все ядра, но не больше {THREADS}",
            ),
        ),
        text="Threads of one inference. 0: one for each core that the process may use, at most"
        f" {THREADS}.",
        text_ru="Потоки одного вычисления. 0: по одному на каждое ядро, доступное процессу, но не"
        f" больше {THREADS}.",
    )
    kernels: Literal["on", "off"] = setting(
        "ASR_KERNELS",
        "on",
        choice("on", "off"),
        text="Whether our library of kernels is used where the processor can. off leaves every"
        " product to ONNX Runtime.",
        text_ru="Считать ли нашей библиотекой ядер там, где процессор это умеет. off оставляет все"
        " произведения ONNX Runtime.",
    )
    short_audio_s: float = setting(
        "ASR_SHORT_AUDIO_THRESHOLD",
        30.0,
        number(0, 86400),
        text="Audio up to this many seconds skips voice detection; at most the model's window.",
        text_ru="Запись до стольких секунд обходится без поиска речи; не больше окна модели.",
    )
    pause_ms: int = setting(
        "ASR_PAUSE_MS",
        600,
        integer(200, 5000),
        text="A pause of this many milliseconds ends a segment of a live stream that does not say"
        " its own. 1500 cuts a stream as a file is cut.",
        text_ru="Пауза в столько миллисекунд завершает фрагмент живого потока, если поток не"
        " назвал свою. При 1500 поток делится так же, как файл.",
    )
    openai_lenient: Literal["on", "off"] = setting(
        "ASR_OPENAI_LENIENT",
        "off",
        choice("on", "off"),
        text="Whether OpenAI's route leaves out fields that it does not know or support, and serves"
        " the default for a model that it does not have. The header glagol-ignored lists them.",
        text_ru="Пропускать ли на маршруте OpenAI незнакомые и неподдерживаемые поля и брать ли"
        " модель по умолчанию вместо той, которой нет. Пропущенное перечислено в заголовке"
        " glagol-ignored.",
    )
    webhook_timeout_s: float = setting(
        "ASR_WEBHOOK_TIMEOUT",
        60.0,
        number(1, 600),
        text="Seconds that the receiver of a webhook may take for one try.",
        text_ru="Сколько секунд может длиться одна попытка доставить вебхук.",
    )
    redis_url: str = setting(
        "ASR_REDIS_URL",
        "",
        url("redis", "rediss", "unix"),
        secret=True,
        text="Redis that holds the queue of jobs; empty: a file in ASR_STATE.",
        text_ru="Redis с очередью заданий; пусто: файл в ASR_STATE.",
    )
    max_upload_bytes: int = setting(
        "ASR_MAX_UPLOAD_BYTES",
        2 << 30,
        integer(1, 1 << 40, "bytes"),
        text="Largest audio file that is accepted.",
        text_ru="Наибольший файл, который принимается.",
    )
    max_audio_s: float = setting(
        "ASR_MAX_AUDIO_SECONDS",
        43200.0,
        number(1, 604800),
        text="Longest audio that is accepted.",
        text_ru="Самая длинная запись, которая принимается.",
    )
    jail_slots: int = setting(
        "ASR_JAIL_SLOTS",
        4,
        integer(1, 256),
        text="Recordings that are opened and checked at a time, each in a process of its own; more"
        " wait, and owners of keys take turns.",
        text_ru="Сколько записей открывается и проверяется одновременно, каждая в своём процессе;"
        " остальные ждут, владельцы ключей чередуются.",
    )
    owner_share: float = setting(
        "ASR_OWNER_SHARE",
        ALONE,
        number(0.1, 1, "a part", "доля"),
        text="Part of each pool that one key (without keys: one address) may use alone: bodies,"
        " uploads, streams, waiting jobs, webhooks, connections. 1: no shares.",
        text_ru="Доля каждого запаса, которую один ключ (без ключей: один адрес) может занять в"
        " одиночку: тела запросов, загрузки, потоки, ждущие задания, вебхуки, соединения."
        " 1: без долей.",
    )
    queue_size: int = setting(
        "ASR_QUEUE_SIZE",
        16,
        integer(1, 10000),
        text="Requests that may wait while others are transcribed; more are refused.",
        text_ru="Сколько запросов может ждать, пока расшифровываются другие; лишние отклоняются.",
    )
