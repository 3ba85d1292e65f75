"""Fixtures: those of the speech tests, since sessions are tried with real models."""

from speech.conftest import recognizer, registry, vad_session

__all__ = ["recognizer", "registry", "vad_session"]
