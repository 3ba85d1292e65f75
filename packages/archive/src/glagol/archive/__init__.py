"""Transcription of whole archives: recordings in, tables and files out, by actors on Ray."""
