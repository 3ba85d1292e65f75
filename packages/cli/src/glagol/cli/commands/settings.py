"""`glagol settings`: what can be set, from the rows of the servers and of policy.toml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from glagol.core.settings_page import Section

__all__ = ["sections", "settings"]


@click.command()
@click.option(
    "--write",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write the reference as Markdown, in English and Russian, into this directory.",
)
def settings(folder: Path | None) -> int:
    """List every setting of the servers: meaning, range and default."""
    from glagol.core.settings_page import FILES, markdown, reference_lines

    if folder is not None:
        for language, name in FILES.items():
            (folder / name).write_text(markdown(sections(), language), encoding="utf-8")
        return 0
    formatter = click.get_current_context().make_formatter()
    for part in sections():
        with formatter.section(part.title):
            formatter.write_dl(reference_lines(part.rows), col_max=26)
    click.echo(formatter.getvalue(), nl=False)
    return 0


def sections() -> tuple[Section, ...]:
    """The parts of the reference."""
    from glagol.asr.settings import SERVER_ONLY
    from glagol.asr.settings import Settings as AsrSettings
    from glagol.core.settings_page import Section
    from glagol.embed.settings import Settings as EmbedSettings
    from glagol.gateway.settings import SERVER_ONLY as GATEWAY_ONLY
    from glagol.gateway.settings import Settings as GatewaySettings
    from glagol.llm.settings import Settings as LlmSettings
    from glagol.rag.http.settings import Settings as RagSettings
    from glagol.web.access.policy_rows import rows

    unused = "`, `".join(SERVER_ONLY)
    alone = "`, `".join(GATEWAY_ONLY)
    return (
        Section(
            "asr-server, asr-worker",
            {
                "en": f"`glagol serve` and `glagol worker`. The worker does not use `{unused}`.",
                "ru": f"`glagol serve` и `glagol worker`. Исполнителю не нужны `{unused}`.",
            },
            AsrSettings.rows(),
        ),
        Section(
            "llm-server",
            {"en": "`glagol serve-llm`.", "ru": "`glagol serve-llm`."},
            LlmSettings.rows(),
        ),
        Section(
            "embed-server",
            {"en": "`glagol serve-embed`.", "ru": "`glagol serve-embed`."},
            EmbedSettings.rows(),
        ),
        Section(
            "rag-server",
            {"en": "`glagol serve-rag`.", "ru": "`glagol serve-rag`."},
            RagSettings.rows(),
        ),
        Section(
            "gateway-server",
            {
                "en": "gateway-server, and the pages of `glagol serve`, which takes no"
                f" `{alone}`: there the variables of asr-server count.",
                "ru": "gateway-server и страницы `glagol serve`; там не нужны"
                f" `{alone}`: действуют переменные asr-server.",
            },
            GatewaySettings.rows(),
        ),
        Section(
            "policy.toml",
            {
                "en": "A file in the directory of state that both servers read, and read again when"
                " it changes; `section.name` is a name below `[section]`."
                " [Example](../guides/access.md#policytoml).",
                "ru": "Файл в каталоге состояния; оба сервера читают его, а при изменении"
                " перечитывают; `section.name` — имя под `[section]`."
                " [Пример](../guides/access.ru.md#policytoml).",
            },
            rows(),
        ),
    )
