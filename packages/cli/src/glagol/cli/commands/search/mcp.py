"""`glagol mcp`: search and answers as tools of the Model Context Protocol, over stdin and stdout.

It sends requests to rag-server with the given key, so a client can read what the key may read, and
no tool changes anything. Source: the part for tools of the specification of 2025-06-18: JSON-RPC
2.0, one message per line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import click
import httpx
import msgspec

from glagol.core.version import VERSION

__all__ = ["answers", "mcp"]

PROTOCOLS: Final = ("2025-06-18", "2025-03-26", "2024-11-05")
LINE_BYTES_MAX: Final = 1 << 20
TIMEOUT_S: Final = 330.0
_PARSE, _REQUEST, _METHOD, _PARAMS = -32700, -32600, -32601, -32602
_NAMES: Final = {"type": "array", "items": {"type": "string"}}
_WHERE: Final[dict[str, Any]] = {
    "folders": _NAMES,
    "recordings": _NAMES,
    "speakers": _NAMES,
    "tags": _NAMES,
    "channels": {"type": "array", "items": {"type": "integer"}},
    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    "since": {"type": "string", "description": "first day, YYYY-MM-DD"},
    "until": {"type": "string", "description": "last day, YYYY-MM-DD"},
}


def _tool(name: str, about: str, fields: dict[str, Any], *required: str) -> dict[str, Any]:
    form = {"type": "object", "properties": fields, "additionalProperties": False}
    return {
        "name": name,
        "description": about,
        "inputSchema": {**form, "required": list(required)},
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


_QUERY: Final = {"type": "string", "description": "words; in double quotes: word for word"}
_ROUTES: Final = {
    "search": ("POST", "/v1/search"),
    "ask": ("POST", "/v1/ask"),
    "count": ("POST", "/v1/counts"),
    "recordings": ("GET", "/v1/recordings"),
}
_TOOLS: Final = (
    _tool(
        "search",
        "Find turns of recordings by meaning and by words. Texts are quotes of people.",
        {"query": _QUERY, "limit": {"type": "integer", "minimum": 1, "maximum": 100}, **_WHERE},
        "query",
    ),
    _tool(
        "ask",
        "Answer a question from recordings, with citations to recording and time.",
        {"query": _QUERY, "limit": {"type": "integer", "minimum": 1, "maximum": 20}, **_WHERE},
        "query",
    ),
    _tool(
        "count",
        "Count and list turns that hold all words of a query, by facets and over time.",
        {
            "query": _QUERY,
            "by": {
                **_NAMES,
                "description": "recording, folder, speaker, channel, tag, day, month",
            },
            "order": {"enum": ["first", "last"]},
            "limit": {"type": "integer", "minimum": 0, "maximum": 100},
            **_WHERE,
        },
    ),
    _tool("recordings", "List the recordings in the index.", {}),
)


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:8083",
    show_default=True,
    envvar="RAG_URL",
    help="Address of rag-server [RAG_URL].",
)
@click.option("--key", default="", envvar="RAG_KEY", help="Bearer key [RAG_KEY].")
def mcp(url: str, key: str) -> int:
    """Serve search and answers to an MCP client, over stdin and stdout.

    It can read what the key may see, and change nothing.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        lines = iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX), b"")
        for answer in answers(lines, client.request):
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()
    return 0


def answers(lines: Iterable[bytes], request: Callable[..., httpx.Response]) -> Iterable[bytes]:
    """The response to each message that needs one.

    Args:
        lines: JSON-RPC messages.
        request: Sends a request to rag-server, as `httpx.Client.request` does.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield _failed(None, _PARSE, "not JSON")
            continue
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            yield _failed(None, _REQUEST, "not a request of JSON-RPC 2.0")
        elif "id" in message:
            yield _answer(message, request)


def _answer(message: dict[str, Any], request: Callable[..., httpx.Response]) -> bytes:
    number, method = message["id"], message["method"]
    given = message.get("params")
    parameters: dict[str, Any] = given if isinstance(given, dict) else {}
    if method == "initialize":
        wanted = parameters.get("protocolVersion")
        result: dict[str, Any] = {
            "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "glagol", "version": VERSION},
        }
    elif method == "ping":
        result = {}
    elif method == "tools/list":
        result = {"tools": _TOOLS}
    elif method == "tools/call":
        if parameters.get("name") not in _ROUTES:
            return _failed(number, _PARAMS, "there is no such tool")
        result = _called(parameters["name"], parameters.get("arguments") or {}, request)
    else:
        return _failed(number, _METHOD, "there is no such method")
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "result": result})


def _called(name: str, arguments: Any, request: Callable[..., httpx.Response]) -> dict[str, Any]:
    method, path = _ROUTES[name]
    try:
        answer = request(method, path, json=None if method == "GET" else arguments)
        body = msgspec.json.decode(answer.content)
        failed, value = not body["success"], body["error"] or body["data"]
    except (httpx.HTTPError, msgspec.DecodeError, KeyError, TypeError) as error:
        failed, value = True, f"rag-server does not answer: {type(error).__name__}"
    text = msgspec.json.encode(value).decode()
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _failed(number: Any, code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "error": error})
