"""Transcripts as JSON, text and subtitles."""
