"""Response to `GET /`: a page without scripts for a person, JSON for a program.

The form posts to `/v1/transcribe` as any client does, so the page needs no other route. Its
content security policy allows only its own style, by digest, and its own form.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from string import Template
from typing import TYPE_CHECKING, Final

import msgspec
from litestar import get
from litestar.response import Response

from glagol.asr.http.request import AsrRequest, Service, service_of
from glagol.core.hosts import is_loopback
from glagol.core.version import VERSION
from glagol.speech.output.formats import FORMATS
from glagol.web import envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["home", "language_of"]

_STYLE: Final = """
:root{color-scheme:light dark;--ground:#faf9f6;--card:#fff;--ink:#1b1a18;--second:#5b564f;
--line:#8a847a;--accent:#1d4f91;--on:#fff;font:16px/1.55 "PT Sans","Segoe UI",system-ui,sans-serif}
@media(prefers-color-scheme:dark){:root{--ground:#151618;--card:#1e2023;--ink:#eceae5;
--second:#aaa59b;--line:#7d7a73;--accent:#8fb9f3;--on:#151618}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink)}
main{max-width:44rem;margin:0 auto;padding:2.5rem 1.25rem 3rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}
p{margin:.5rem 0}.state{color:var(--second)}
form{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.25rem;
margin-top:1.5rem;display:grid;gap:1rem}
label{display:grid;gap:.3rem;color:var(--second);min-width:0}
.row{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr))}
input,select,button{font:inherit;color:var(--ink);min-height:44px;width:100%}
select{background:var(--ground);border:1px solid var(--line);border-radius:8px;padding:0 .6rem}
input[type=file]{border:1px dashed var(--line);border-radius:8px;padding:.9rem;min-height:0}
button{background:var(--accent);color:var(--on);border:0;border-radius:8px;font-weight:600;
cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem;
overflow-x:auto;font-size:.875rem;line-height:1.5}
a{color:var(--accent)}nav{display:flex;flex-wrap:wrap;gap:.4rem 1.4rem}
.note{border-left:3px solid var(--accent);padding-left:.8rem}
"""
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "ru": {
        "lead": "Распознавание речи на этом сервере. Записи никуда не уходят.",
        "ready": "Готов к работе: $model, $variant.",
        "waiting": "Модель загружается и сверяется, обычно меньше минуты. Обновите страницу.",
        "broken": "Распознавание остановлено: $why",
        "note": "Об этой модели: $note",
        "file": "Звук или видео",
        "format": "Что получить",
        "channel": "Каналы",
        "mix": "вместе",
        "split": "каждый отдельно",
        "send": "Расшифровать",
        "keys": "Доступ к серверу по ключам, поэтому формы здесь нет: браузер не умеет посылать"
        " ключ. Ключ выдаёт администратор.",
        "terminal": "То же в командной строке",
        "links": "Дальше",
        "docs": "Все запросы и ответы",
        "schema": "описание для программ",
        "state": "состояние",
        "metrics": "показатели",
    },
    "en": {
        "lead": "Speech recognition on this server. Recordings go nowhere else.",
        "ready": "Ready: $model, $variant.",
        "waiting": "The model is being loaded and checked, usually under a minute. Reload the"
        " page.",
        "broken": "Recognition has stopped: $why",
        "note": "About this model: $note",
        "file": "Sound or video",
        "format": "Result",
        "channel": "Channels",
        "mix": "together",
        "split": "each alone",
        "send": "Transcribe",
        "keys": "This server asks for keys, so there is no form here: a browser cannot send one."
        " The administrator hands out keys.",
        "terminal": "The same in a terminal",
        "links": "More",
        "docs": "All requests and answers",
        "schema": "description for programs",
        "state": "state",
        "metrics": "metrics",
    },
}
_PAGE: Final = Template("""<!doctype html>
<html lang="$lang"><head><meta charset="utf-8"><title>Glagol</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<style>$style</style></head><body><main>
<h1>Glagol</h1><p>$lead</p><p class="state">$standing</p>$note
$form
<h2>$terminal</h2><pre>$curl</pre>
<h2>$links</h2><nav><a href="docs">$docs</a><a href="schema/openapi.json">$schema</a>
<a href="ready">$state</a><a href="metrics">$metrics</a></nav>
</main></body></html>
""")
_FORM: Final = Template("""<form action="v1/transcribe" method="post" enctype="multipart/form-data">
<label>$file<input type="file" name="file" required></label>
<div class="row"><label>$format<select name="format">$formats</select></label>
<label>$channel<select name="channel"><option value="mix">$mix</option>
<option value="split">$split</option></select></label></div>
<button>$send</button></form>""")


class _Facts(msgspec.Struct, frozen=True):
    """The JSON answer of `GET /`."""

    name: str
    version: str
    state: str
    model: str
    docs: str


@get("/", include_in_schema=False, sync_to_thread=False)
def home(request: AsrRequest) -> Response[bytes]:
    """The page if the client accepts HTML; else name, version and state as JSON."""
    service = service_of(request)
    vary = {"vary": "accept, accept-language"}
    if "text/html" not in request.headers.get("accept", ""):
        facts = _Facts("Glagol asr-server", VERSION, _state(service), service.default, "/docs")
        body = envelope.success(msgspec.json.encode(facts))
        return Response(body, media_type="application/json", headers=vary)
    lang = language_of(request.headers.get("accept-language", ""))
    keys_on = request.app.state.keyring() is not None
    base = _address(request)
    return Response(
        _page(service, lang, base, keys_on=keys_on).encode(),
        media_type="text/html",
        headers={**vary, "content-security-policy": _POLICY},
    )


def language_of(accept: str) -> str:
    """The language, "ru" or "en", that an Accept-Language header prefers (RFC 9110)."""
    best, found = 0.0, "en"
    for entry in accept[:1000].split(","):
        tag, _, weight = entry.partition(";")
        lang = tag.strip().lower().partition("-")[0]
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        if lang in _TEXTS and quality > best:
            best, found = quality, lang
    return found


def _state(service: Service) -> str:
    trouble = service.engine.trouble
    if trouble is None:
        return "ready"
    return "waiting" if trouble.code == "not_ready" else "broken"


def _page(service: Service, lang: str, base: str, *, keys_on: bool) -> str:
    texts = {name: escape(text) for name, text in _TEXTS[lang].items()}
    options = "".join(
        f'<option value="{name}"{" selected" if name == "text" else ""}>{name}</option>'
        for name in FORMATS
    )
    key = ' -H "Authorization: Bearer $KEY"' if keys_on else ""
    lines = (
        f"curl{key} -F file=@audio.wav {base}/v1/transcribe",
        f'curl{key} -F file=@audio.wav "{base}/v1/transcribe?format=srt"',
        f'curl{key} -T audio.wav "{base}/v1/transcribe?async=true"',
    )
    form = f"<p>{texts['keys']}</p>" if keys_on else _FORM.substitute(texts, formats=options)
    return _PAGE.substitute(
        texts,
        lang=lang,
        style=_STYLE,
        standing=_standing(service, texts),
        note=_note(service, texts),
        form=form,
        curl=escape("\n".join(lines)),
    )


def _standing(service: Service, texts: Mapping[str, str]) -> str:
    trouble = service.engine.trouble
    provenance = service.engine.report().get("provenance")
    text = Template(texts[_state(service)])
    return text.substitute(
        model=escape(service.default),
        variant=escape(getattr(provenance, "variant", "")),
        why=escape(f"{trouble.message}; {trouble.remedy}") if trouble else "",
    )


def _note(service: Service, texts: Mapping[str, str]) -> str:
    note = service.registry.model(service.default).note
    if not note:
        return ""
    return f'<p class="note">{Template(texts["note"]).substitute(note=escape(note))}</p>'


def _address(request: AsrRequest) -> str:
    """The address by which the client reached this server, for command lines to copy."""
    host = request.headers.get("host", "") or "localhost"
    name = host.rsplit(":", 1)[0]
    secure = request.headers.get("x-forwarded-proto", request.scope["scheme"]) == "https"
    return f"{'https' if secure and not is_loopback(name) else 'http'}://{host}"
