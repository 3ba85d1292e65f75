"""Recordings of strangers are opened in child processes that can reach nothing else."""
