"""Summaries: transcripts, pieces, prompts, notes, merging, the report."""
