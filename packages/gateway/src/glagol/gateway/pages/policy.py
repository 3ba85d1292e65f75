"""What a page may do in a browser (Content Security Policy, level 3, with Trusted Types)."""

from __future__ import annotations

from typing import Final

__all__ = ["POLICY"]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " media-src 'self' blob:; connect-src 'self'; worker-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'"
)
