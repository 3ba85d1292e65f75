"""What llm-server adds to a request and to a chunk of a stream, against asking vLLM itself.

    ./just bench passthrough

All ways lead to one and the same process, a stand-in for vLLM that answers at once, in turns:
directly over its Unix socket, directly over TCP, and through llm-server over TCP. The model's own
time is in none, so the difference is what passing through costs; against the Unix socket it holds
the price of TCP too. A chunk carries the time at which it was written. The bars: <= 0.2 ms for a
chunk of a lone stream, <= 3 ms for a request.
"""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import report

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from llm import stub, tiny
from llm.running import ANSWER, start

REQUESTS, STREAMS, CHUNKS, TOGETHER = 400, 12, 60, 8
CHAT = "/v1/chat/completions"
_TIME = re.compile(rb'"t":([\d.]+)')


def request_s(client: httpx.Client) -> float:
    """Seconds of one short chat."""
    body = {"messages": [{"role": "user", "content": "echo"}]}
    began = time.perf_counter()
    assert client.post(CHAT, json=body).status_code == 200
    return time.perf_counter() - began


def chunks_s(client: httpx.Client) -> list[float]:
    """For each chunk of a stream, seconds from its writing to its arrival."""
    body = {"messages": [{"role": "user", "content": f"slow {CHUNKS}"}], "stream": True}
    late = []
    with client.stream("POST", CHAT, json=body) as answer:
        for chunk in answer.iter_raw():
            now = time.monotonic()
            late += [now - float(written) for written in _TIME.findall(chunk)]
    assert len(late) == CHUNKS
    return late


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(ways: dict[str, httpx.Client], pid: int) -> dict[str, object]:
    """Medians of all ways, what "through" adds to the others, and the server's processor time.

    All in milliseconds; the processor time is that of a chunk, of one stream and of eight at once.
    """
    requests: dict[str, list[float]] = {name: [] for name in ways}
    chunks: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(REQUESTS + 20):
        for name, client in ways.items():
            took = request_s(client)
            if number >= 20:
                requests[name].append(took)
    lone_s = cpu_s(pid)
    for _ in range(STREAMS):
        for name, client in ways.items():
            chunks[name] += chunks_s(client)
    many_s = cpu_s(pid)
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(chunks_s, [ways["through"]] * TOGETHER))
    figures: dict[str, object] = {
        "chunk_cpu_lone_ms": 1e3 * (many_s - lone_s) / (STREAMS * CHUNKS),
        "chunk_cpu_ms": 1e3 * (cpu_s(pid) - many_s) / (TOGETHER * CHUNKS),
    }
    for what, found in (("request", requests), ("chunk", chunks)):
        medians = {name: 1e3 * statistics.median(values) for name, values in found.items()}
        figures |= {f"{what}_{name}_ms": value for name, value in medians.items()}
        figures[f"{what}_overhead_ms"] = medians["through"] - medians["direct"]
        figures[f"{what}_overhead_over_tcp_ms"] = medians["through"] - medians["direct_tcp"]
    return figures


def main() -> None:
    """Start both processes, measure, print, store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "answer").write_text(ANSWER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (folder / "port").write_text(str(port))
        home = tiny.make_home(folder / "home")
        server = start(home, folder, stub.write(folder), LLM_LOG_LEVEL="info")
        try:
            server.ready()
            seen = json.loads((folder / "seen.json").read_text())
            arguments, key = seen["arguments"], seen["environment"]["VLLM_API_KEY"]
            headers = {"Authorization": f"Bearer {key}"}
            direct = httpx.Client(
                base_url="http://vllm",
                transport=httpx.HTTPTransport(uds=arguments[arguments.index("--uds") + 1]),
                headers=headers,
            )
            tcp = httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False
            )
            with direct, tcp, server.client() as through:
                ways = {"direct": direct, "direct_tcp": tcp, "through": through}
                report.write("passthrough", measure(ways, server.process.pid))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
