"""Checks of a machine before it searches: ``glagol env-check --search``.

Model, libraries and index of embed-server and rag-server, by their settings, and whether the two
answer. The checks of the machine are those of `glagol.cli.env_checks.asr`.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from glagol.cli.env_checks import asr
from glagol.cli.env_checks.asr import Finding
from glagol.core.hosts import is_loopback
from glagol.embed.config import chosen
from glagol.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.cli.env_checks.asr import Check, Question
    from glagol.core.settings import NetworkSettings
    from glagol.embed.settings import Settings as EmbedSettings
    from glagol.rag.http.settings import Settings as RagSettings

__all__ = ["run"]

SHARED: Final = ("python", "libc", "clock", "disk", "wsl", "cpu", "manifest")
LIBRARIES: Final = ("sentencepiece", "qdrant-edge-py", "snowballstemmer")
READY_S: Final = 5.0


def run(question: Question, embed: EmbedSettings, rag: RagSettings) -> list[Finding]:
    """Every finding; a check that breaks is itself a failure.

    Args:
        question: Home, store, device and the model; the settings' own without one.
        embed: What embed-server would start with.
        rag: What rag-server would start with.
    """
    findings = asr.run(question, {name: asr.CHECKS[name] for name in SHARED})
    checks: dict[str, Check] = {"libraries": _libraries}
    if findings[-1].status == "ok":  # else there is no manifest to ask about models
        checks["embeddings"] = lambda question: _model(question, embed, rag)
    checks["index"] = lambda _: _index(rag)
    checks["embed-server"] = lambda _: _server("embed-server", embed)
    checks["rag-server"] = lambda _: _server("rag-server", rag)
    return findings + asr.run(question, checks)


def _libraries(question: Question) -> Iterator[Finding]:
    for name in LIBRARIES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            remedy = f"make the environment of lock/{question.lock}.txt"
            yield Finding(name, "fail", "absent", remedy)


def _model(question: Question, embed: EmbedSettings, rag: RagSettings) -> Iterator[Finding]:
    """The model's files, verified; a warning where the two servers name different models."""
    registry = Registry.load(question.home, question.store)
    named = "".join(question.models)
    models = {s: chosen(registry, named or s.model_name) for s in (embed, rag)}
    for model in dict.fromkeys(each.id for each in models.values()):
        opened = registry.open(model, embed.variant or None)
        name = f"model {model}/{opened.variant.id}"
        yield Finding(name, "ok", f"{len(opened.blobs)} artifacts as pinned")


def _index(rag: RagSettings) -> Iterator[Finding]:
    """The index can be read, and how much is in it; nothing is made."""
    from glagol.rag.store import FILE, Store

    folder = Path(rag.index or Path(rag.state, "search"))
    if not (rag.index or rag.state):
        remedy = "set RAG_INDEX or RAG_STATE"
        yield Finding("index", "fail", "there is no place for it", remedy)
        return
    if not (folder / FILE).exists():
        yield Finding("index", "ok", f"{folder}: none yet")
        return
    store = Store(folder)
    try:
        made = store.fact("model") or "nothing"
    finally:
        store.close()
    yield Finding("index", "ok", f"{folder}: readable, made by {made[:12]}")


def _server(name: str, settings: NetworkSettings) -> Iterator[Finding]:
    """Whether the server answers at its address, and is ready."""
    host = settings.host if is_loopback(settings.host.lower()) else "127.0.0.1"
    at = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        answer = httpx.get(f"{at}/ready", timeout=READY_S, trust_env=False)
        said: Any = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, msgspec.DecodeError):
        remedy = f"start it: glagol serve-{name.partition('-')[0]}"
        yield Finding(name, "warn", f"does not answer at {at}", remedy)
        return
    if answer.is_success:
        yield Finding(name, "ok", f"ready at {at}")
        return
    error = said.get("error") or {} if isinstance(said, dict) else {}
    yield Finding(
        name, "fail", str(error.get("message", "not ready")), str(error.get("remedy", ""))
    )
