"""Signatures of webhooks after Standard Webhooks v1.

A receiver recomputes HMAC-SHA256 over `id.timestamp.body` and compares. The header holds one
signature per secret, so that a secret can be replaced while both are known.

Source: the specification at standardwebhooks.com, section "Signature scheme".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

__all__ = ["SECRET_PREFIX", "headers", "sign"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with is none


def headers(secrets: Sequence[str], message_id: str, sent_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one sending.

    Args:
        secrets: `whsec_<base64>`, the newest first; at least one.
        message_id: The same for every try, so that the receiver can drop what it knows.
        sent_s: Unix seconds of this try; receivers refuse what is minutes old.
        body: The exact bytes that are sent.

    Returns:
        `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    """
    signatures = [sign(secret, message_id, sent_s, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_s),
        "webhook-signature": " ".join(signatures),
    }


def sign(secret: str, message_id: str, sent_s: int, body: bytes) -> str:
    """One signature, `v1,<base64>`; the arguments are those of `headers`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = f"{message_id}.{sent_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
