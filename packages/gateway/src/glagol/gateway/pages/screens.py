"""The routes of the screens beside the library: live captions, the queue, the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import get
from litestar.response import Response

from glagol.gateway.http import views
from glagol.gateway.http.request import GatewayRequest, folders_of, on_disk, service_of
from glagol.gateway.pages import states
from glagol.gateway.pages.frame import framed, html, language_of, shown
from glagol.gateway.pages.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.gateway.work.models import Model

__all__ = ["HANDLERS"]

ROLES: Final = ("asr", "speakers", "vad", "llm", "embed", "")
"""What models are for, in the order of the screen; the last one is everything else."""

_ROWS: Final = 500


@get("/live", include_in_schema=False)
@shown
async def live(request: GatewayRequest) -> Response[Any]:
    """What is said into the microphone, as text while it is said."""
    state = await views.state(request)
    t = words(language_of(request))
    body = await framed(
        request,
        "live.html",
        script="live.js",
        data={"state": state},
        here="live",
        state=state,
        lines=[each for each in states.lines(t, state) if each.service in {"", "asr"}],
    )
    return html(body)


@get("/queue", include_in_schema=False)
@shown
async def queue(request: GatewayRequest) -> Response[Any]:
    """What is being transcribed, what waits, what failed."""
    state = await views.state(request)
    service, allowed = service_of(request), await folders_of(request)
    some = [
        await on_disk(request, views.recordings, service, allowed, limit=_ROWS, state=each)
        for each in ("open", "failed")
    ]
    t = words(language_of(request))
    body = await framed(
        request,
        "queue.html",
        script="queue.js",
        data={"state": state, "recordings": [r for each in some for r in each.recordings]},
        here="queue",
        state=state,
        lines=[each for each in states.lines(t, state) if each.service == "asr" or each.wrong],
        open=some[0].recordings,
        failed=some[1].recordings,
        says=lambda r: states.says(t, r),
    )
    return html(body)


@get("/models", include_in_schema=False)
@shown
async def models(request: GatewayRequest) -> Response[Any]:
    """The models of all services: what each is for, whether it is here, its licence, its files."""
    found = await service_of(request).models.every()
    body = await framed(request, "models.html", here="models", groups=_groups(found))
    return html(body)


def _groups(found: Sequence[Model]) -> list[tuple[str, list[Model]]]:
    """Models by what they are for; in each group those that are here first."""
    by_role: dict[str, list[Model]] = {role: [] for role in ROLES}
    for each in found:
        by_role[each.role if each.role in by_role else ""].append(each)
    for some in by_role.values():
        some.sort(key=lambda each: (not each.default, not each.here))
    return [(role, some) for role, some in by_role.items() if some]


HANDLERS: Final = [live, queue, models]
