"""HTTP: the listener, client connections, and forwarding of requests to vLLM."""
