"""Durable jobs: submit, run, follow, keep."""
