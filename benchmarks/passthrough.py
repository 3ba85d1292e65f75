"""What llm-server adds to a request and to a chunk of a stream, against asking vLLM itself.

    ./just bench passthrough

Both ways lead to one and the same process, a stand-in for vLLM that answers at once, in turns:
directly over its Unix socket, and through llm-server over TCP. The model's own time is in neither,
so the difference is what passing through costs. A chunk carries the time at which it was written.
"""

from __future__ import annotations

import json
import os
import re
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

REQUESTS, STREAMS, CHUNKS, TOGETHER = 400, 4, 150, 8
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


def measure(direct: httpx.Client, through: httpx.Client, pid: int) -> dict[str, object]:
    """Medians of both ways and their differences, and the server's processor time for a chunk.

    All in milliseconds; the processor time is that of eight streams at a time.
    """
    ways = {"direct": direct, "through": through}
    requests: dict[str, list[float]] = {"direct": [], "through": []}
    chunks: dict[str, list[float]] = {"direct": [], "through": []}
    for number in range(REQUESTS + 20):
        for name, client in ways.items():
            took = request_s(client)
            if number >= 20:
                requests[name].append(took)
    for _ in range(STREAMS):
        for name, client in ways.items():
            chunks[name] += chunks_s(client)
    used_s = cpu_s(pid)
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(chunks_s, [through] * TOGETHER))
    used_ms = 1e3 * (cpu_s(pid) - used_s)
    figures: dict[str, object] = {"chunk_cpu_ms": used_ms / (TOGETHER * CHUNKS)}
    for what, found in (("request", requests), ("chunk", chunks)):
        medians = {name: 1e3 * statistics.median(values) for name, values in found.items()}
        figures |= {f"{what}_{name}_ms": value for name, value in medians.items()}
        figures[f"{what}_overhead_ms"] = medians["through"] - medians["direct"]
    return figures


def main() -> None:
    """Start both processes, measure, print, store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "answer").write_text(ANSWER)
        home = tiny.make_home(folder / "home")
        server = start(home, folder, stub.write(folder), LLM_LOG_LEVEL="info")
        try:
            server.ready()
            seen = json.loads((folder / "seen.json").read_text())
            arguments, key = seen["arguments"], seen["environment"]["VLLM_API_KEY"]
            direct = httpx.Client(
                base_url="http://vllm",
                transport=httpx.HTTPTransport(uds=arguments[arguments.index("--uds") + 1]),
                headers={"Authorization": f"Bearer {key}"},
            )
            with direct, server.client() as through:
                report.write("passthrough", measure(direct, through, server.process.pid))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
