"""Transcripts as an index: search by meaning and by words, answers with citations."""
