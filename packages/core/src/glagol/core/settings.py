"""Read settings from environment variables; each setting is declared in one row.

A server's settings are a frozen dataclass, and each of its fields is one call of `setting`: name,
default, range, and the text of the reference. The check of a value, the message for a wrong one,
the log line at start, `--help` and docs/reference/settings.md are made from it, so they agree.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Final, Literal, Self, TypeVar

from glagol.core.errors import InputError
from glagol.core.hosts import HOSTS_TAKE, ORIGINS_TAKE, listening
from glagol.core.shares import ALONE
from glagol.core.takes import Takes, choice, folder, integer, number, url, word

__all__ = [
    "LOG_LEVELS",
    "NetworkSettings",
    "Row",
    "ServerSettings",
    "Takes",
    "Text",
    "choice",
    "device_setting",
    "folder",
    "integer",
    "number",
    "places_setting",
    "port_setting",
    "setting",
    "share_setting",
    "state_home",
    "unknown",
    "url",
    "variant_setting",
    "word",
]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Text:
    """The meaning of a field of a configuration file, for the reference of settings.

    The field's type carries it: `Annotated[int, Text(...)]`.

    Attributes:
        text: In English.
        text_ru: In Russian.
    """

    text: str
    text_ru: str


@dataclass(frozen=True, slots=True)
class Row:
    """One environment variable.

    Attributes:
        name: The variable.
        attribute: The attribute of the server's settings that it fills.
        default: The value when the variable is unset or empty.
        takes: Type, unit and range.
        text: What it means.
        text_ru: The same in Russian.
        computed: How the default is found, when the environment decides it.
        secret: The value may hold a password and must not be shown.
    """

    name: str
    attribute: str
    default: Any
    takes: Takes
    text: str
    text_ru: str
    computed: str = ""
    secret: bool = False

    def read(self, text: str) -> Any:
        """Parse the text of the variable.

        Raises:
            InputError: `setting_invalid`, naming the variable, its value and what it takes.
        """
        try:
            return self.takes.parse(text.strip())
        except ValueError:
            shown = "***" if self.secret else repr(text)
            raise InputError(
                "setting_invalid",
                f"{self.name}={shown} is not {self.takes.words}",
                f"set {self.name} to {self.takes.words}, or unset it for the default"
                f" ({self.default!r})",
            ) from None

    def shown(self, value: Any) -> Any:
        """The value for the log: the user and password of a secret address are masked."""
        if not self.secret or "@" not in value:
            return value
        scheme, _, rest = value.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"


def setting(
    name: str,
    default: T,
    takes: Takes,
    *,
    text: str,
    text_ru: str,
    computed: str = "",
    secret: bool = False,
) -> T:
    """A field of a server's settings with its row; see `Row`.

    Args:
        name: The variable. A row that servers share leaves the server's prefix out.
        default: The value when the variable is unset or empty.
        takes: Such as `integer(1, 65535)`.
        text: What it means, in English.
        text_ru: The same in Russian.
        computed: How the default is found, when the environment decides it.
        secret: The value may hold a password.
    """
    row = Row(name, "", default, takes, text, text_ru, computed, secret)
    return field(default=default, metadata={Row: row})


def unknown(prefix: str, rows: tuple[Row, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """List the variables of `environment` that begin with `prefix` and belong to no row.

    Each comes with the most similar name of a row, if there is one.
    """
    known = [row.name for row in rows]
    notes = []
    for name in sorted(environment):
        if name.startswith(prefix) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            notes.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return tuple(notes)


def state_home(environment: Mapping[str, str]) -> str:
    """Directory of this user's state, by the XDG base directory specification.

    Empty when the environment names no home.
    """
    given = environment.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return f"{given.rstrip('/')}/glagol"
    home = environment.get("HOME", "")
    return f"{home.rstrip('/')}/.local/state/glagol" if home.startswith("/") else ""


def port_setting(default: int) -> int:
    """The row of the TCP port, which each server has with its own default."""
    return setting(
        "PORT",
        default,
        integer(1, 65535),
        text="TCP port to listen on.",
        text_ru="Порт TCP, на котором слушает сервер.",
    )


def device_setting(default: Literal["cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """The row of the device, which each server has with its own default."""
    return setting(
        "DEVICE",
        default,
        choice("cpu", "cuda"),
        text="Where the model runs; chooses its variant.",
        text_ru="Где работает модель; по нему выбирается её вариант.",
    )


def variant_setting() -> str:
    """The row of the model's variant."""
    return setting(
        "VARIANT",
        "",
        word("a variant id such as cpu-int8", "имя варианта, например cpu-int8"),
        text="Variant of the model; empty: the one for the device.",
        text_ru="Вариант модели; пусто: тот, что подходит устройству.",
    )


def places_setting(default: int) -> int:
    """The row of the number of requests that a server may have in flight."""
    return setting(
        "QUEUE_SIZE",
        default,
        integer(1, 10000),
        text="Requests that may be under way at one time.",
        text_ru="Сколько запросов может выполняться одновременно.",
    )


def share_setting() -> float:
    """The row of the share of requests in flight, and of connections, that one owner may use."""
    return setting(
        "OWNER_SHARE",
        ALONE,
        number(0.1, 1, "a part", "доля"),
        text="Part of the requests under way and of the connections that one key (without keys:"
        " one address) may use alone. 1: no shares.",
        text_ru="Доля одновременных запросов и соединений, которую один ключ (без ключей: один"
        " адрес) может занять в одиночку. 1: без долей.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """The settings that every server has; each server adds its prefix and its own rows.

    Attributes:
        PREFIX: Prefix of the names of the server's variables.
        unknown: What `unknown` found in the environment.
    """

    PREFIX: ClassVar[str] = ""

    host: str = setting(
        "HOST",
        "127.0.0.1",
        Takes("an address or host name", "адрес или имя узла", listening),
        text="Address or name of this machine to listen on.",
        text_ru="Адрес или имя этой машины, на котором слушает сервер.",
    )
    port: int = port_setting(8080)
    hosts: str = setting(
        "HOSTS",
        "",
        Takes(*HOSTS_TAKE),
        text="Names to answer to, beside the server's own addresses; *: any. No port: any port.",
        text_ru="Имена, на которые отвечает сервер, кроме его адресов; *: любые. Без порта: любой.",
    )
    origins: str = setting(
        "ORIGINS",
        "",
        Takes(*ORIGINS_TAKE),
        text="Pages of other sites that may use the server from a browser.",
        text_ru="Страницы других сайтов, которым можно обращаться к серверу из браузера.",
    )
    keys: Literal["optional", "required"] = setting(
        "KEYS",
        "optional",
        choice("optional", "required"),
        text="Whether keys must be on. required: without keys.json the server does not start."
        " optional: it starts and serves every caller, unless keys were on before.",
        text_ru="Обязательны ли ключи. required: без keys.json сервер не запускается."
        " optional: запускается и обслуживает всех, если ключи раньше не включались.",
    )
    min_body_rate: float = setting(
        "MIN_BODY_RATE",
        500.0,
        number(0, 1e9, "bytes per second", "байты в секунду"),
        text="Least speed of a request's body, which may pause for 20 s; a slower one is ended."
        " 0: any.",
        text_ru="Наименьшая скорость тела запроса с паузами до 20 с; более медленное обрывается."
        " 0: любая.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "LOG_LEVEL",
        "info",
        choice(*LOG_LEVELS),
        text="Least severe level that is written to stderr.",
        text_ru="Наименьшая важность того, что пишется в stderr.",
    )
    state: str = setting(
        "STATE",
        "",
        folder("a directory", "каталог"),
        computed="$XDG_STATE_HOME/glagol, else ~/.local/state/glagol",
        text="Directory of what must survive a restart, such as keys and policy.toml.",
        text_ru="Каталог того, что должно пережить перезапуск: ключи, policy.toml и прочее.",
    )
    unknown: tuple[str, ...] = ()

    @classmethod
    def rows(cls) -> tuple[Row, ...]:
        """The rows, in the order of the fields."""
        found = []
        for attribute in fields(cls):
            row = attribute.metadata.get(Row)
            if row is not None:
                name = row.name if row.name.startswith(cls.PREFIX) else cls.PREFIX + row.name
                found.append(replace(row, name=name, attribute=attribute.name))
        return tuple(found)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the server's variables.

        Args:
            environment: Usually `os.environ`; names without the prefix are ignored. An empty
                value counts as unset, as compose files write it.

        Raises:
            InputError: `setting_invalid`, naming the variable, its value and what it takes.
        """
        rows = cls.rows()
        given = [(row, text) for row in rows if (text := environment.get(row.name))]
        values = {row.attribute: row.read(text) for row, text in given}
        values.setdefault("state", state_home(environment))
        return cls(**values, unknown=unknown(cls.PREFIX, rows, environment))

    def as_log(self) -> dict[str, object]:
        """The settings by variable name, for the log line at start; a password is masked."""
        return {row.name: row.shown(getattr(self, row.attribute)) for row in self.rows()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(NetworkSettings):
    """The settings that every server with a model has."""

    model_name: str = setting(
        "MODEL_NAME",
        "",
        word("a model id or alias of the manifest", "имя модели из манифеста или её псевдоним"),
        text="Model that serves; empty: the manifest's default.",
        text_ru="Модель, которая работает; пусто: та, что в манифесте по умолчанию.",
    )
    model_registry_path: str = setting(
        "MODEL_REGISTRY_PATH",
        "",
        folder("the path of a file", "путь к файлу"),
        computed="manifest.json in GLAGOL_HOME",
        text="The manifest: the list of models and their digests.",
        text_ru="Манифест: список моделей и их хешей.",
    )
    device: Literal["cpu", "cuda"] = device_setting("cpu")
    trust: Literal["rehash", "receipt"] = setting(
        "TRUST",
        "rehash",
        choice("rehash", "receipt"),
        text="How a model's files are verified when it is opened. rehash: every byte is hashed."
        " receipt: a file whose size, times and inode are those of its last hash is not hashed.",
        text_ru="Как проверяются файлы модели при открытии. rehash: хешируется каждый байт."
        " receipt: не хешируется файл, у которого размер, времена и inode те же, что при прошлой"
        " проверке.",
    )
