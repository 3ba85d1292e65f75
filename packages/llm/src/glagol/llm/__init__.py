"""llm-server: a vLLM process of its own, checked, watched and spoken to, and summaries."""
