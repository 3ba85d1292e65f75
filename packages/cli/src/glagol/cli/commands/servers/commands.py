"""`glagol serve` and its sisters: the servers, each in this process."""

from __future__ import annotations

from glagol.cli.commands.servers.shape import server

__all__ = ["serve", "serve_embed", "serve_gateway", "serve_llm", "serve_rag"]


@server("glagol.asr.settings", "model", "variant", "device")
def serve(environment: dict[str, str]) -> int:
    """Start the HTTP server.

    Every ASR_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.asr.server import main
    from glagol.gateway.front import Front

    return main(environment, Front(environment))


@server(
    "glagol.llm.settings",
    "model",
    "device",
    python="Interpreter of vLLM's environment",
    memory="Share of the device's memory for vLLM",
)
def serve_llm(environment: dict[str, str]) -> int:
    """Start the language model's HTTP server, and vLLM under it.

    Every LLM_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.llm.server import main

    return main(environment)


@server("glagol.embed.settings", "model", "variant", "device")
def serve_embed(environment: dict[str, str]) -> int:
    """Start the HTTP server that turns texts into vectors.

    Every EMBED_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.embed.server import main

    return main(environment)


@server("glagol.rag.http.settings", "model", "llm_url", "device")
def serve_rag(environment: dict[str, str]) -> int:
    """Start the HTTP server that searches transcripts.

    Every RAG_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.rag.http.server import main

    return main(environment)


@server("glagol.gateway.settings", "asr_url", home=False)
def serve_gateway(environment: dict[str, str]) -> int:
    """Start pages and library in front of the other servers.

    Every GATEWAY_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.gateway.server import main

    return main(environment)
