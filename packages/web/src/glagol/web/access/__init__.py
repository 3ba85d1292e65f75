"""Access control: API keys, rates, concurrency, the operator's policy file."""
