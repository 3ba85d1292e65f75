"""Write the reference of settings from their rows: a page in Markdown, and lines for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from glagol.core.settings import Row

__all__ = ["FILES", "Section", "help_lines", "markdown", "reference_lines"]

Language = Literal["en", "ru"]

FILES: Final[dict[Language, str]] = {"en": "settings.md", "ru": "settings.ru.md"}
GIB: Final = 1 << 30

_HEAD: Final[dict[Language, str]] = {
    "en": """\
# Settings

*[По-русски](settings.ru.md)*

`./just glagol settings --write docs/reference` makes this page from the source: change the row
there, not the page.

Every variable is optional, and an empty one counts as unset. A wrong value stops the program at its
start with exit status 2; the message names the variable, its value and what it takes. A variable
that begins like these but is not listed is ignored, and the log names it. An option of a command
wins over its variable.

Each program also reads `GLAGOL_HOME`, the directory of manifest.json (default: the checkout or
release that the program lies in; for an installed command `~/.local/share/glagol`), and
`GLAGOL_STORE`, the directory of models' files (default: `store` in that directory).
Traces have [OpenTelemetry's own variables](../guides/access.md#traces).
""",
    "ru": """\
# Настройки

*[In English](settings.md)*

Страницу создаёт из исходного кода `./just glagol settings --write docs/reference`: править нужно
строку там, а не страницу.

Любую переменную можно не задавать; пустая — то же, что незаданная. С неверным значением программа
не запускается и завершается с кодом 2; сообщение называет переменную, её значение и то, что она
принимает. Переменная с таким же началом, которой здесь нет, не действует, и журнал её называет.
Параметр команды важнее переменной.

Каждая программа читает ещё `GLAGOL_HOME`, каталог manifest.json (по умолчанию копия или выпуск,
где лежит программа; у установленной команды `~/.local/share/glagol`), и `GLAGOL_STORE`, каталог
файлов моделей (по умолчанию `store` в том каталоге). У трассировки
[собственные переменные OpenTelemetry](../guides/access.ru.md#трассировка).
""",
}
_COLUMNS: Final[dict[Language, tuple[str, ...]]] = {
    "en": ("name", "default", "takes", "meaning"),
    "ru": ("имя", "по умолчанию", "принимает", "смысл"),
}
_EMPTY: Final[dict[Language, str]] = {"en": "empty", "ru": "пусто"}


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: the settings of one program or of one file.

    Attributes:
        title: Such as "llm-server".
        note: A sentence below the title, by language.
        rows: The settings.
    """

    title: str
    note: dict[Language, str]
    rows: tuple[Row, ...]


def markdown(sections: Sequence[Section], language: Language) -> str:
    """The reference as a page in Markdown; the same rows give the same text."""
    parts = [_HEAD[language]]
    for section in sections:
        columns = _COLUMNS[language]
        lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(_cells(row, language))} |" for row in section.rows]
        parts.append(
            f"## {section.title}\n\n{section.note[language]}\n\n" + "\n".join(lines) + "\n"
        )
    return "\n".join(parts)


def help_lines(rows: Iterable[Row], language: Language = "en") -> list[tuple[str, str]]:
    """Lines for `--help`: each name with its meaning and default."""
    word = "default" if language == "en" else "по умолчанию"
    return [
        (
            row.name,
            f"{row.text if language == 'en' else row.text_ru} [{word}: {_default(row, language)}]",
        )
        for row in rows
    ]


def reference_lines(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Lines for a terminal: each name with its meaning, range and default."""
    return [
        (row.name, f"{row.text} Takes {row.takes.words}. [default: {_default(row, 'en')}]")
        for row in rows
    ]


def _cells(row: Row, language: Language) -> Iterable[str]:
    english = language == "en"
    default = _default(row, language)
    yield f"`{row.name}`"
    yield default if default == _EMPTY[language] else f"`{default}`"
    yield (row.takes.words if english else row.takes.words_ru).replace("|", "\\|")
    yield (row.text if english else row.text_ru).replace("|", "\\|")


def _default(row: Row, language: Language) -> str:
    if row.computed:
        return row.computed if language == "en" else row.computed.replace(", else ", ", иначе ")
    value: Any = row.default
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if row.takes.unit == "bytes" and value % GIB == 0:
        return f"{value} ({value // GIB} {'GiB' if language == 'en' else 'ГиБ'})"
    return str(value) or _EMPTY[language]
