"""Whether the environment holds what an S3 server asks for; nothing here reads the values."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["KEY_REMEDY", "has_key"]

# One of these must be set whole, else the S3 client asks the cloud's metadata address for a key.
_KEYS: Final = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
)

KEY_REMEDY: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT, AWS_REGION for a server of "
    "your own), or AWS_SKIP_SIGNATURE=true for a public bucket"
)
"""What to do where there is none."""


def has_key() -> bool:
    """Whether the environment is enough for an S3 request: a key, or no signature needed."""
    public = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "on", "yes", "y"}
    return public or any(all(os.environ.get(name) for name in names) for names in _KEYS)
