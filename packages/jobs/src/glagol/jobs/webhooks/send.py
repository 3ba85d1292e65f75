"""Send a webhook once: a signed POST over a guarded connection, and its outcome.

No redirect is followed, no proxy of the environment is used, and the whole try, name lookup
included, has one time limit. Only the status and Retry-After of the answer are used.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpcore

from glagol.core.errors import InputError
from glagol.jobs.backoff import DELIVERY
from glagol.jobs.webhooks import signing
from glagol.jobs.webhooks.payload import Delivery
from glagol.jobs.webhooks.ssrf import (
    GuardedBackend,
    Resolver,
    Rules,
    Target,
    check_url,
)

__all__ = ["Outcome", "WebhookSettings", "send", "trust"]

ANSWER_BYTES_MAX: Final = 64 * 1024
_AGAIN: Final = frozenset({408, 425, 429})

Verdict = Literal["taken", "again", "final"]


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """The operator's settings of webhooks.

    Attributes:
        secrets: `whsec_<base64>`, the newest first.
        rules: Where deliveries may go.
        timeout_s: Seconds that one try may take in all.
    """

    secrets: tuple[str, ...]
    rules: Rules
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one try.

    Attributes:
        verdict: `taken` by the receiver; worth trying `again`; `final`, it will not be taken.
        said: The status such as `204`, or why there was none: `timeout`, `unreachable`,
            `refused`, `unsigned`. Never anything the receiver wrote.
        retry_after_s: What the receiver asked for; None when it did not.
    """

    verdict: Verdict
    said: str
    retry_after_s: float | None = None


def trust() -> ssl.SSLContext:
    """TLS settings that trust the system's authorities, or those that SSL_CERT_FILE names."""
    return ssl.create_default_context()


async def send(
    delivery: Delivery,
    message_id: str,
    sent_s: float,
    settings: WebhookSettings,
    *,
    tls: ssl.SSLContext,
    resolve: Resolver,
) -> Outcome:
    """Try to deliver once; every failure becomes an outcome, not an exception.

    Args:
        delivery: What and where.
        message_id: The `webhook-id`.
        sent_s: Unix seconds now.
        settings: The operator's.
        tls: See `trust`.
        resolve: From name and port to addresses.
    """
    if not settings.secrets:
        return Outcome("again", "unsigned")
    body = delivery.body.encode()
    headers = signing.headers(settings.secrets, message_id, int(sent_s), body)
    if delivery.traceparent:
        headers["traceparent"] = delivery.traceparent
    try:
        target = check_url(delivery.url, settings.rules)
        async with asyncio.timeout(settings.timeout_s):
            status, answered = await _post(
                target, headers, body, GuardedBackend(settings.rules, resolve), tls
            )
    except InputError:
        return Outcome("final", "refused")
    except (TimeoutError, httpcore.TimeoutException):
        return Outcome("again", "timeout")
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
        return Outcome("again", "unreachable")
    return _judged(status, answered, sent_s)


async def _post(
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    backend: GuardedBackend,
    tls: ssl.SSLContext,
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers; the body is read, as far as it is short, and dropped."""
    shown = f"[{target.host}]" if ":" in target.host else target.host
    url = httpcore.URL(
        scheme=target.scheme.encode(),
        host=target.host.encode(),
        port=target.port,
        target=target.path.encode(),
    )
    all_headers = {
        "host": f"{shown}:{target.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "glagol-webhook/1",
        "connection": "close",
        **headers,
    }
    pool = httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=backend, retries=0)
    async with (
        pool,
        pool.stream("POST", url, headers=list(all_headers.items()), content=body) as response,
    ):
        size_bytes = 0
        async for chunk in response.aiter_stream():
            size_bytes += len(chunk)
            if size_bytes > ANSWER_BYTES_MAX:
                break
        return response.status, {name.lower(): value for name, value in response.headers}


def _judged(status: int, headers: Mapping[bytes, bytes], now_s: float) -> Outcome:
    if 200 <= status < 300:
        return Outcome("taken", str(status))
    if status in _AGAIN or status >= 500:
        return Outcome("again", str(status), _asked(headers.get(b"retry-after", b""), now_s))
    return Outcome("final", str(status))


def _asked(text: bytes, now_s: float) -> float | None:
    """Retry-After, in seconds or as a date."""
    value = text.decode("latin-1").strip()
    try:
        if value.isdigit():
            return min(float(value), DELIVERY.most_s)
        seconds = parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
