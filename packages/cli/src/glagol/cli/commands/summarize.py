"""`glagol summarize`: summarise a text or a transcript with llm-server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from glagol.cli import output
from glagol.cli.progress import Bars
from glagol.core.errors import InputError
from glagol.core.files import write_atomic

if TYPE_CHECKING:
    from glagol.asr.summary_client import Progress

__all__ = ["LLM_URL", "ask", "llm_options", "rendered", "summarize"]

LLM_URL: Final = "http://127.0.0.1:8081"
STDIN: Final = "-"
INPUT_BYTES_MAX: Final = 64 << 20
Command = TypeVar("Command", bound=Callable[..., Any])


def llm_options(command: Command) -> Command:
    """Add the options --llm-url and --llm-key to a command."""
    url = click.option(
        "--llm-url",
        default=LLM_URL,
        show_default=True,
        envvar="LLM_URL",
        help="URL of llm-server [LLM_URL].",
    )
    key = click.option("--llm-key", default="", envvar="LLM_KEY", help="Bearer key [LLM_KEY].")
    return url(key(command))


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--url", default=LLM_URL, show_default=True, help="Of llm-server.")
@click.option("--key", default="", envvar="LLM_KEY", help="Bearer key [LLM_KEY].")
@click.option("--language", type=click.Choice(["ru", "en"]), help="The transcript's otherwise.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "text"]),
    default="text",
    show_default=True,
)
@click.option("--output", "target", type=click.Path(dir_okay=False, path_type=Path))
def summarize(
    file: str,
    url: str,
    key: str,
    language: str | None,
    form: Literal["json", "text"],
    target: Path | None,
) -> None:
    """Summarise a text, or a transcript as `glagol transcribe --format json` writes it.

    Sound is not read: `glagol transcribe FILE --summarize` does both.
    """
    source = {**_source(_read(file)), **({"language": language} if language else {})}
    data = rendered(ask(source, url, key), form)
    if target is None:
        output.show(data)
    else:
        write_atomic(target, data)


def ask(source: Mapping[str, Any], url: str, key: str) -> bytes:
    """Send a source to llm-server, with a progress bar; returns the summary's JSON.

    Raises:
        GlagolError: The error of llm-server; `llm_unavailable`, it does not respond.
    """
    from glagol.asr.summary_client import summary_of

    with Bars(sys.stderr) as bars, bars.counter("summary", least=2) as advance:

        def moved(now: Progress) -> None:
            if advance is not None:
                advance(now.done, now.total)

        return summary_of(source, url, key=key, on_progress=moved)


def rendered(summary: bytes, form: Literal["json", "text"]) -> bytes:
    """Format a summary's JSON as `json` or `text`."""
    if form == "json":
        return summary + b"\n"
    import msgspec

    from glagol.llm.summarize.report import Report, as_text

    return as_text(msgspec.json.decode(summary, type=Report)).encode()


def _read(name: str) -> bytes:
    """Read the whole input.

    Raises:
        InputError: `not_found`; `request_invalid`, it is too long.
        HostError: `host_io`.
    """
    from glagol.core.files import host_error

    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(INPUT_BYTES_MAX + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError("not_found", f"{name}: {error.strerror}", "check the path") from error
    except OSError as error:
        raise host_error(error, Path(name)) from error
    if len(data) > INPUT_BYTES_MAX:
        raise InputError("request_invalid", f"{name} is longer than 64 MiB", "send less text")
    return data


def _source(data: bytes) -> dict[str, Any]:
    """The source as llm-server takes it: a transcript if it has a transcript's fields, else text.

    Raises:
        InputError: `request_invalid`, it is not text; `text_empty`.
    """
    import msgspec

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "request_invalid", "this is not text", "transcribe it first, or add --summarize there"
        ) from error
    if not text.strip():
        raise InputError("text_empty", "there is nothing to summarise", "give some text")
    if text.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return {"text": text}
        if isinstance(value, dict) and {"text", "segments", "data"} & value.keys():
            return {"transcript": value}
    return {"text": text}
