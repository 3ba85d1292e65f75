"""The settings of gateway-server, and of the pages of `glagol serve`: `GATEWAY_*`, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from glagol.core.settings import (
    NetworkSettings,
    choice,
    folder,
    integer,
    port_setting,
    setting,
    url,
    word,
)
from glagol.gateway.access.proxy import NETWORKS_TAKE

__all__ = ["SERVER_ONLY", "Settings", "services"]

SERVER_ONLY: Final = (
    "GATEWAY_HOST",
    "GATEWAY_PORT",
    "GATEWAY_HOSTS",
    "GATEWAY_ORIGINS",
    "GATEWAY_KEYS",
    "GATEWAY_LOG_LEVEL",
    "GATEWAY_STATE",
    "GATEWAY_MIN_BODY_RATE",
    "GATEWAY_ASR_URL",
    "GATEWAY_TLS_CERT",
    "GATEWAY_TLS_KEY",
)
"""Variables that `glagol serve` does not use: there the settings of asr-server count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(NetworkSettings):
    """What the operator chose; every value is inside the range of its row."""

    PREFIX: ClassVar[str] = "GATEWAY_"

    port: int = port_setting(8090)
    signin: Literal["auto", "none", "key", "proxy", "oidc"] = setting(
        "GATEWAY_SIGNIN",
        "auto",
        choice("auto", "none", "key", "proxy", "oidc"),
        text="Access to the pages. none: every caller of the server. key: people sign in"
        " with a name and a password (people.json) or with a key (keys.json). proxy: a proxy names"
        " them. oidc: they sign in at a provider. auto: none where the server listens on this"
        " machine alone and neither file is there, else key.",
        text_ru="Кто может открывать страницы. none: все, кому доступен сервер. key: входят по"
        " имени и паролю (people.json) или по ключу (keys.json). proxy: имя называет прокси. oidc:"
        " входят у поставщика. auto: none, если сервер слушает только эту машину и обоих файлов"
        " нет, иначе key.",
    )
    proxies: str = setting(
        "GATEWAY_PROXIES",
        "",
        NETWORKS_TAKE,
        text="Addresses of the proxies that may name people, with GATEWAY_SIGNIN=proxy.",
        text_ru="Адреса прокси, которые могут называть людей, при GATEWAY_SIGNIN=proxy.",
    )
    proxy_header: str = setting(
        "GATEWAY_PROXY_HEADER",
        "X-Remote-User",
        word("the name of a header", "имя заголовка"),
        text="Header in which such a proxy names the person.",
        text_ru="Заголовок, в котором такой прокси называет человека.",
    )
    oidc_issuer: str = setting(
        "GATEWAY_OIDC_ISSUER",
        "",
        url("http", "https"),
        text="Address of the provider of OpenID Connect, with GATEWAY_SIGNIN=oidc.",
        text_ru="Адрес поставщика OpenID Connect при GATEWAY_SIGNIN=oidc.",
    )
    oidc_client: str = setting(
        "GATEWAY_OIDC_CLIENT",
        "",
        word("printable text without spaces", "печатный текст без пробелов"),
        text="Name of this server at the provider (client_id).",
        text_ru="Имя этого сервера у поставщика (client_id).",
    )
    oidc_secret_file: str = setting(
        "GATEWAY_OIDC_SECRET_FILE",
        "",
        folder("a file", "файл"),
        text="File that holds the secret of this server at the provider; empty: a public client.",
        text_ru="Файл с секретом этого сервера у поставщика; пусто: секрета нет.",
    )
    oidc_claim: str = setting(
        "GATEWAY_OIDC_CLAIM",
        "preferred_username",
        word("the name of a claim", "имя поля"),
        text="Claim of the ID token that names the person.",
        text_ru="Поле токена ID, в котором имя человека.",
    )
    max_upload_bytes: int = setting(
        "GATEWAY_MAX_UPLOAD_BYTES",
        2 << 30,
        integer(1, 1 << 40, "bytes"),
        text="Largest recording that the pages accept.",
        text_ru="Наибольшая запись, которую принимают страницы.",
    )
    watch: str = setting(
        "GATEWAY_WATCH",
        "",
        folder("a directory", "каталог"),
        text="Directory whose new files become recordings; empty: none.",
        text_ru="Каталог, новые файлы которого становятся записями; пусто: нет такого.",
    )
    asr_url: str = setting(
        "GATEWAY_ASR_URL",
        "http://127.0.0.1:8080",
        url("http", "https"),
        text="Address of asr-server.",
        text_ru="Адрес asr-server.",
    )
    llm_url: str = setting(
        "GATEWAY_LLM_URL",
        "",
        url("http", "https"),
        text="Address of llm-server, for summaries; empty: there is none.",
        text_ru="Адрес llm-server, для конспектов; пусто: его нет.",
    )
    embed_url: str = setting(
        "GATEWAY_EMBED_URL",
        "",
        url("http", "https"),
        text="Address of embed-server; empty: there is none.",
        text_ru="Адрес embed-server; пусто: его нет.",
    )
    rag_url: str = setting(
        "GATEWAY_RAG_URL",
        "",
        url("http", "https"),
        text="Address of rag-server, for search by meaning; empty: there is none.",
        text_ru="Адрес rag-server, для поиска по смыслу; пусто: его нет.",
    )
    key_file: str = setting(
        "GATEWAY_KEY_FILE",
        "",
        folder("a file", "файл"),
        text="File that holds the gateway's key at the services behind it; empty: none.",
        text_ru="Файл с ключом шлюза к сервисам за ним; пусто: без ключа.",
    )
    tls_cert: str = setting(
        "GATEWAY_TLS_CERT",
        "",
        folder("a file", "файл"),
        text="Certificate chain in PEM; with GATEWAY_TLS_KEY the server speaks HTTPS alone.",
        text_ru="Цепочка сертификатов в PEM; вместе с GATEWAY_TLS_KEY сервер говорит только по"
        " HTTPS.",
    )
    tls_key: str = setting(
        "GATEWAY_TLS_KEY",
        "",
        folder("a file", "файл"),
        text="Private key of the certificate in PEM.",
        text_ru="Закрытый ключ сертификата в PEM.",
    )


def services(settings: Settings) -> dict[str, str]:
    """Addresses of the servers behind the gateway, by name; those that there are."""
    urls = {
        "asr": settings.asr_url,
        "llm": settings.llm_url,
        "embed": settings.embed_url,
        "rag": settings.rag_url,
    }
    return {name: url for name, url in urls.items() if url}
