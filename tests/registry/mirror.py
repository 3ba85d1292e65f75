"""A small HTTP mirror that misbehaves on request."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Mirror:
    """Files served from memory, and the faults to show.

    Attributes:
        files: bytes by path, such as "/sha256/9c/cdac...".
        ranges: whether range requests are understood; else they get the whole file.
        cuts: for each coming answer, after how many body bytes the connection drops.
        asked: (path, first byte asked for or None) of every request so far.
        url: the address, without a slash at the end.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    asked: list[tuple[str, int | None]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One GET, whole or by range, cut short when a cut is due."""
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked else None
        self.asked.append((request.path, start))
        data = self.files.get(request.path)
        if data is None:
            request.send_error(404)
            return
        body = data[start:] if start is not None and self.ranges else data
        if start is not None and self.ranges and start >= len(data):
            request.send_error(416)
            return
        request.send_response(206 if start is not None and self.ranges else 200)
        if start is not None and self.ranges:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        request.end_headers()
        if self.cuts:
            request.wfile.write(body[: self.cuts.pop(0)])
            request.close_connection = True
        else:
            request.wfile.write(body)
