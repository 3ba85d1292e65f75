"""vLLM as a child process: start, known-answer check, supervision, restart, client."""

from typing import Final

ENGINE: Final = "vllm"
"""The manifest's `engine` of the models that it serves."""
