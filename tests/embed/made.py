"""A home with a small made-up text encoder that the real forge built, and a server over it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from forge import made_bert
from glagol.forge.checkpoints.safetensors import write_safetensors
from glagol.forge.families.bert.tokenizer import write_model
from glagol.forge.model import build_model
from glagol.registry.manifest.read import canonical, parse
from glagol.registry.manifest.types import Artifact, Model
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "packages"
MODEL = "made-embedder"
ALIAS = "made/embedder"
PATIENCE_S = 60.0


def make_home(folder: Path) -> Path:
    """Fill `folder` with the repository's manifest, the made-up encoder first of its role."""
    stated = made_bert.stated()
    entry: dict[str, Any] = {
        "id": MODEL,
        "aliases": [ALIAS],
        "engine": "bert",
        "role": "embed",
        "version": "1",
        "license": "MIT",
        "source": {"repo": "this test"},
        "variants": [
            {"id": f"cpu-{precision}", "provider": "cpu", "precision": precision}
            for precision in ("int8", "fp32")
        ],
        "decoding": {
            "kind": "embedding",
            "query_prefix": "a ",
            "passage_prefix": "b ",
            **{name: getattr(stated, name) for name in stated.__slots__},
        },
    }
    pieces = [(piece.encode(), -float(n)) for n, piece in enumerate(made_bert.PIECES)]
    charsmap = ROOT / "models/multilingual-e5-small-4bit/nmt_nfkc.charsmap"
    files = {
        "model.safetensors": write_safetensors(made_bert.made().weights),
        "sentencepiece.bpe.model": write_model(pieces, charsmap.read_bytes()),
    }
    model = msgspec.convert(entry, Model)
    store = Store(folder / "store")
    made = build_model(model, files)
    variants = tuple(
        msgspec.structs.replace(
            variant,
            artifacts=tuple(
                Artifact(path=name, sha256=store.add_bytes(data), size_bytes=len(data))
                for name, data in made[variant.id].items()
            ),
        )
        for variant in model.variants
    )
    manifest = parse((ROOT / "manifest.json").read_bytes())
    ours = msgspec.structs.replace(model, variants=variants)
    manifest = msgspec.structs.replace(manifest, models=(ours, *manifest.models))
    (folder / "manifest.json").write_bytes(canonical(manifest))
    return folder


@dataclass
class Server:
    """A real embed-server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self, **headers: str) -> httpx.Client:
        """A client without any proxy of the environment."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False, headers=headers)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        whole = self.log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def start(
    home: Path, folder: Path, *, ready: int = 200, program: str = "embed", **settings: str
) -> Server:
    """Start a server; returns when /ready answers with `ready`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    ours = ("EMBED_", "RAG_", "GLAGOL_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    sources = os.pathsep.join(str(path) for path in sorted(PACKAGES.glob("*/src")))
    environment = {
        **kept,
        "PYTHONPATH": sources,
        "GLAGOL_HOME": str(home),
        "HOME": str(folder),
        f"{program.upper()}_PORT": str(port),
        **settings,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"glagol.{program}"], env=environment, stderr=log, stdout=log
        )
    server = Server(process, f"http://127.0.0.1:{port}", folder / "log")
    until = time.monotonic() + PATIENCE_S
    with server.client() as client:
        while process.poll() is None and time.monotonic() < until:
            try:
                answer = client.get("/ready")
                if answer.status_code == ready and "not_ready" not in answer.text:
                    return server
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    process.kill()
    raise AssertionError(server.log.read_text())
