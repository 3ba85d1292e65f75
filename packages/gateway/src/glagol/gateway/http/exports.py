"""The route of exports: the text as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import get
from litestar.params import FromPath
from litestar.response import Response

from glagol.gateway.http.answers import choice_of, integer_of
from glagol.gateway.http.request import (
    GatewayRequest,
    folders_of,
    on_disk,
    readable,
    service_of,
)
from glagol.gateway.http.sound import disposition
from glagol.gateway.text import exporting

if TYPE_CHECKING:
    pass

__all__ = ["HANDLERS"]


@get("/ui/recordings/{identity:str}/export", include_in_schema=False)
async def export(request: GatewayRequest, identity: FromPath[str]) -> Response[Any]:
    """The text in a format; equal texts give equal bytes.

    Raises:
        InputError: `recording_unknown`, `option_invalid`.
    """
    service, allowed = service_of(request), await folders_of(request)
    found = await on_disk(request, readable, service, identity, allowed)
    name = choice_of(request, "format", "text", *exporting.FORMATS)
    choice = exporting.Choice(
        times=choice_of(request, "times", "0", "0", "1") == "1",
        speakers=choice_of(request, "speakers", "0", "0", "1") == "1",
        reviewed=choice_of(request, "reviewed", "0", "0", "1") == "1",
        original=integer_of(request, "original", 0, 0, 999),
    )
    row = exporting.FORMATS[name]
    body = await on_disk(request, exporting.write, service.library, found, row, choice)
    headers = {"content-disposition": disposition(f"{_stem(found.title)}{row.extension}")}
    return Response(body, headers=headers, media_type=row.media_type.partition(";")[0])


def _stem(title: str) -> str:
    stem, dot, extension = title.rpartition(".")
    return stem if dot and stem and len(extension) <= 5 and extension.isalnum() else title


HANDLERS: Final = [export]
