"""Durable jobs: a queue with leases and fencing on SQLite or Redis, and webhook delivery."""
