"""Compiled kernels that a session may be given."""
