"""llm-server: runs and supervises a vLLM process, proxies OpenAI's routes, writes summaries."""
