"""Access to a server: API keys, rates, concurrency, the operator's policy file."""
