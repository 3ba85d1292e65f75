"""vLLM as a child process: started, proven, watched, restarted, spoken with."""

from typing import Final

ENGINE: Final = "vllm"
"""The manifest's `engine` of the models that it serves."""
