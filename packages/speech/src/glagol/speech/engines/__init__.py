"""Transcription engines, one folder for each family."""
