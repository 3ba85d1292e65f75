"""The queue on SQLite."""
