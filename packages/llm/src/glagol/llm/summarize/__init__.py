"""Summaries of long transcripts: split into pieces, take notes of each, merge, report."""
