"""The page that shows a server's routes to a person: plain HTML made from its OpenAPI document.

It needs no network, no script and no file beside it. Its policy allows its own style, by digest,
and nothing else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from glagol.core.errors import CODES

__all__ = ["handler", "page"]

_STYLE: Final = """
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{max-width:62rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:3rem;border-bottom:1px solid}
h3 code{font-size:1.05rem}
details{margin:.4rem 0;border:1px solid #8886;border-radius:.4rem;padding:.4rem .8rem}
summary{cursor:pointer}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem;border-bottom:1px solid #8884}
.method{display:inline-block;min-width:4.5rem;font-weight:600}
"""
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_VIEWPORT: Final = '<meta name="viewport" content="width=device-width">'
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")

Document = Mapping[str, Any]


def handler(others: Sequence[tuple[str, str, str]] = ()) -> HTTPRouteHandler:
    """The route `GET /docs` of an application.

    Args:
        others: Method, path and description of what OpenAPI cannot describe.
    """

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def documentation(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The routes, for people."""
        return Response(
            made(request.app),
            media_type="text/html",
            headers={"content-security-policy": _POLICY},
        )

    @functools.lru_cache(maxsize=1)
    def made(app: Any) -> bytes:
        return page(app.openapi_schema.to_schema(), others)

    return documentation


def page(document: Document, others: Sequence[tuple[str, str, str]] = ()) -> bytes:
    """The page of an OpenAPI 3.1 document; equal documents give equal bytes.

    Args:
        document: As plain dicts and lists.
        others: Method, path and description of what the document cannot describe.
    """
    title = escape(document["info"]["title"])
    head = f'<meta charset="utf-8"><title>{title}</title>{_VIEWPORT}'
    link = '<a href="/schema/openapi.json">openapi.json</a>'
    parts = [
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>',
        f"<h1>{title}</h1><p>The same for programs, то же для программ: {link}</p>",
        "<h2>Routes · Маршруты</h2>",
        *(
            _operation(method, path, operations[method])
            for path, operations in sorted(document["paths"].items())
            for method in _METHODS
            if method in operations
        ),
        *(_folded(method, path, f"<p>{escape(text)}</p>") for method, path, text in others),
        "<h2>Errors · Ошибки</h2>",
        _table(
            ("code · код", "HTTP", "meaning · смысл"),
            ((f"<code>{c}</code>", str(e.http_status), escape(e.summary))
             for c, e in sorted(CODES.items())),
        ),
        "<h2>Types · Типы</h2>",
        *_types(document),
        "</body></html>\n",
    ]  # fmt: skip
    return "".join(parts).encode()


def _operation(method: str, path: str, operation: Document) -> str:
    parts = [f"<p>{escape(operation.get('description') or '')}</p>"]
    parameters = operation.get("parameters") or ()
    if parameters:
        rows = (
            (
                f"<code>{escape(p['name'])}</code>{' *' if p.get('required') else ''}",
                escape(p["in"]),
                _shape(p.get("schema", {})),
                _words(p.get("description") or p.get("schema", {}).get("description")),
            )
            for p in parameters
        )
        parts.append("<h4>Parameters · Параметры</h4>" + _table(("", "", "", ""), rows))
    for kind, content in (operation.get("requestBody") or {}).get("content", {}).items():
        parts.append(f"<h4>Body · Тело: <code>{escape(kind)}</code></h4>")
        parts.append(_fields(content.get("schema", {})))
    answers = (
        (
            escape(status),
            _words(answer.get("description")),
            "<br>".join(
                f"<code>{escape(kind)}</code> {_shape(content.get('schema', {}))}"
                for kind, content in (answer.get("content") or {}).items()
            ),
        )
        for status, answer in sorted(operation.get("responses", {}).items())
    )
    parts.append("<h4>Answers · Ответы</h4>" + _table(("HTTP", "", ""), answers))
    return _folded(method.upper(), path, "".join(parts), operation.get("summary") or "")


def _folded(method: str, path: str, inside: str, summary: str = "") -> str:
    head = f'<span class="method">{escape(method)}</span> <code>{escape(path)}</code>'
    return f"<details><summary>{head} {escape(summary)}</summary>{inside}</details>"


def _types(document: Document) -> Iterator[str]:
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        anchor = f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
        yield anchor + f"<p>{_words(schema.get('description'))}</p>" + _fields(schema)


def _fields(schema: Document) -> str:
    """The properties of an object as a table; another schema as its shape."""
    properties = schema.get("properties")
    if not properties:
        return f"<p>{_shape(schema)}</p>"
    required = schema.get("required") or ()
    rows = (
        (
            f"<code>{escape(name)}</code>{' *' if name in required else ''}",
            _shape(field),
            _words(field.get("description")),
        )
        for name, field in properties.items()
    )
    return _table(("", "", ""), rows)


def _shape(schema: Document) -> str:
    """A schema in a few words: `string: mix, split (mix)`, `array of Segment`."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " | ".join(_shape(one) for one in schema[several])
    kind = schema.get("type", "")
    if isinstance(kind, list):
        kind = " | ".join(kind)
    if kind == "array":
        return f"array of {_shape(schema.get('items', {}))}"
    text = escape(str(kind))
    known = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if known:
        text += ": " + ", ".join(escape(str(value)) for value in known)
    if "default" in schema:
        text += f" ({escape(str(schema['default']))})"
    return text


def _words(text: str | None) -> str:
    return escape(text or "")


def _table(names: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Cells are HTML already; a head only where a column has a name."""
    head = "".join(f"<th>{name}</th>" for name in names) if any(names) else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
