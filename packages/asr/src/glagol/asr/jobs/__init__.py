"""Durable jobs: submit, run, follow, store."""
