"""The gateway's own key at the services behind it."""

from __future__ import annotations

from pathlib import Path

from glagol.core.errors import InputError

__all__ = ["read"]


def read(file: str, name: str = "GATEWAY_KEY_FILE") -> str:
    """The key or secret in a file; empty where no file is named.

    Args:
        file: Its path; empty for none.
        name: Of the setting that names it.

    Raises:
        InputError: `setting_invalid`, it cannot be read, or holds no key.
    """
    if not file:
        return ""
    try:
        text = Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "setting_invalid",
            f"{name}={file!r} cannot be read: {error}",
            "name a file with the key's text alone, readable by the server",
        ) from error
    if not text or len(text.split()) != 1:
        raise InputError(
            "setting_invalid",
            f"{name}={file!r} holds no key",
            "write the text that `glagol keys add NAME` printed into it",
        )
    return text
