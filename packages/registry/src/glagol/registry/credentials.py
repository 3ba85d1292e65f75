"""Check whether the environment has credentials for S3; the values are not kept or logged."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["KEY_REMEDY", "has_key"]

# All variables of one group must be set; else the S3 client asks the cloud's metadata service.
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
"""Remedy for missing credentials."""


def has_key() -> bool:
    """Whether S3 requests are possible: the environment has a key, or asks for no signature."""
    public = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "on", "yes", "y"}
    return public or any(all(os.environ.get(name) for name in names) for names in _KEYS)
