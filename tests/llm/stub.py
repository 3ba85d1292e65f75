"""Stands in for vLLM where the process matters and not the model: real HTTP, real processes.

Started with vLLM's own arguments (see `write`). What it does with a chat is said by its first
message: `die` ends the process in the middle, `slow N` gives N chunks slowly, `flood N` gives N
chunks of 64 KiB and writes into `flooded` how many it got rid of, `fail` is a 500, `echo` gives
the bytes of the request back. Beside itself it starts a process that ignores signals
and has left its process group, as a worker might. Where its folder has a file `port`, it listens on
that TCP port too.
"""

from __future__ import annotations

import http.server
import json
import os
import shlex
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

CHUNK_S = 0.02


def write(folder: Path) -> Path:
    """An "interpreter" in `folder` that runs this file with vLLM's arguments; its path."""
    path = folder / "python"
    line = f"exec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {shlex.quote(str(folder))}"
    path.write_text(f'#!/bin/sh\n{line} "$@"\n')
    path.chmod(0o755)
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    """vLLM's routes as far as they are used."""

    protocol_version = "HTTP/1.1"
    folder: Path
    key: str

    def do_GET(self) -> None:
        if self.path == "/metrics":
            text = b"# HELP vllm:running x\n# TYPE vllm:running gauge\nvllm:running 3.0\n"
            self.reply(text + b"process_open_fds 1.0\n", kind="text/plain")
        elif self.path == "/health" and (self.folder / "sick").exists():
            self.reply(b"", 503)
        else:
            self.reply(b'{"version":"stub"}')

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["authorization"] != f"Bearer {self.key}":
            self.reply(b'{"error":"Unauthorized"}', 401)
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self.reply(b'{"error":{"message":"not JSON","type":"BadRequestError","code":400}}', 400)
            return
        if body.get("messages", [{}])[0].get("content") == "no route":
            self.reply(b'{"detail":"Not Found"}', 404)
            return
        if self.path == "/tokenize":
            self.reply(b'{"count":7,"max_model_len":8192}')
            return
        self.chat(raw, body)

    def chat(self, raw: bytes, body: dict[str, Any]) -> None:
        word, _, number = str((body.get("messages") or [{}])[0].get("content")).partition(" ")
        if word == "echo":
            self.reply(raw)
        elif word == "long":
            message = b"This model's maximum context length is 8192 tokens"
            self.reply(b'{"error":{"message":"%b","code":400}}' % message, 400)
        elif word == "fail":
            self.reply(b'{"error":{"message":"EngineCore is dead","code":500}}', 500)
        elif body.get("stream"):
            self.stream(word, int(number or 3))
        else:
            if word == "slow":
                time.sleep(int(number) * CHUNK_S)
            if word == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = (self.folder / "answer").read_text()
            choice = {"message": {"content": answer}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 5, "completion_tokens": 2}
            self.reply(json.dumps({"choices": [choice], "usage": usage}).encode())

    def stream(self, word: str, count: int) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for n in range(count if word == "flood" else 0):
                self.wfile.write(b"10000\r\ndata: %b\n\n\r\n" % (b"x" * 65528))
                (self.folder / "flooded").write_text(str(n + 1))
            for n in range(0 if word == "flood" else count):
                event = b'data: {"n":%d,"t":%.6f}\n\n' % (n, time.monotonic())
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
                if word == "die" and n == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(CHUNK_S if word == "slow" else 0)
            self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        except OSError:
            (self.folder / "left").touch()

    def reply(self, body: bytes, status: int = 200, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing; vLLM's own access log is off as well."""


class TcpHandler(Handler):
    """The same over TCP, where a chunk must not wait for the one before to be acknowledged."""

    disable_nagle_algorithm = True


class TcpServer(socketserver.ThreadingTCPServer):
    """A thread per connection on a TCP port of this machine."""

    daemon_threads = True


class Server(socketserver.ThreadingUnixStreamServer):
    """A thread per connection on a Unix socket."""

    daemon_threads = True
    request_queue_size = 128


def say(process: str, level: str, text: str) -> None:
    """A line as vLLM writes it."""
    sys.stdout.write(f"({process} pid={os.getpid()}) {level} 11-21 10:00:00 [x.py:1] {text}\n")
    sys.stdout.flush()


def main() -> None:
    """Check what was laid out, then serve until a signal."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    model = Path(arguments[arguments.index("--model") + 1])
    names = sorted(path.name for path in model.iterdir())
    (folder / "seen.json").write_text(
        json.dumps({"arguments": arguments, "files": names, "environment": dict(os.environ)})
    )
    reason = folder / "refuse"
    if reason.exists():
        say("EngineCore", "ERROR", reason.read_text())
        sys.exit(1)
    worker = "import signal,time; signal.signal(2, signal.SIG_IGN); signal.signal(15, "
    worker += "signal.SIG_IGN); time.sleep(600)"
    orphan = subprocess.Popen([sys.executable, "-c", worker], start_new_session=True)
    with (folder / "pids").open("a") as file:
        file.write(f"{os.getpid()} {orphan.pid}\n")
    Handler.folder, Handler.key = folder, os.environ["VLLM_API_KEY"]
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    port = folder / "port"
    if port.exists():
        tcp = TcpServer(("127.0.0.1", int(port.read_text())), TcpHandler)
        threading.Thread(target=tcp.serve_forever, args=(0.05,), daemon=True).start()
    with Server(arguments[arguments.index("--uds") + 1], Handler) as server:
        say("APIServer", "INFO", "started")
        server.serve_forever(0.05)


if __name__ == "__main__":
    main()
