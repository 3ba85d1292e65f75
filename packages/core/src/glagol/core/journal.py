"""Write the log: one JSON object per line on stderr, or readable lines on a terminal.

A line never holds audio, transcribed text or a file's name; callers pass only identifiers,
digests, counts and durations.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from glagol.core.errors import GlagolError

__all__ = ["LOGGER", "JsonLines", "TerminalLines", "configure", "error", "granian_config", "write"]

SHOWN_MAX: Final = 200  # letters of a field on a terminal; the settings are longer
LOGGER: Final = logging.getLogger("glagol")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON line: time (UTC), level, event, then the caller's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TerminalLines(logging.Formatter):
    """Formats a record for a person: local time, event, fields of at most `SHOWN_MAX` letters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end."""
        fields = getattr(record, "fields", {})
        shown = [
            f"{name}={value}"
            for name, value in fields.items()
            if isinstance(value, str | int | float) and 0 < len(str(value)) <= SHOWN_MAX
        ]
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = "  ".join([f"{time} {level}{record.getMessage()}", *shown])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Send every logger's records of at least `level` to stderr: JSON, or text on a terminal."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": {"()": TerminalLines if terminal else JsonLines}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
        }
    )


def granian_config() -> dict[str, Any]:
    """Logging configuration for granian: its errors go to the root logger of `configure`."""
    quiet = {"handlers": [], "level": "ERROR", "propagate": True}
    return {
        "formatters": {},
        "handlers": {},
        "loggers": {"_granian": quiet, "granian.access": quiet},
    }


def write(event: str, *, level: int = logging.INFO, error: bool = False, **fields: Any) -> None:
    """Log `event` with `fields`.

    Args:
        event: A short fixed sentence; whatever varies belongs into `fields`.
        level: A `logging` level.
        error: Add the traceback of the exception being handled.
        **fields: Anything msgspec can encode.
    """
    LOGGER.log(level, event, exc_info=error, extra={"fields": fields})


def error(event: str, found: GlagolError, *, level: int = logging.ERROR, **fields: Any) -> None:
    """Log `event` with the code, message and remedy of the error that caused it.

    Args:
        event: As for `write`.
        found: The error.
        level: A `logging` level.
        **fields: As for `write`; they follow the error's.
    """
    write(
        event,
        level=level,
        code=found.code,
        message=found.message,
        remedy=found.remedy,
        **fields,
    )
