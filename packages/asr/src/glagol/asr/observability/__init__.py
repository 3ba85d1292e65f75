"""Metrics and the audit trail of transcripts."""
