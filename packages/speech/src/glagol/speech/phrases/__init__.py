"""Phrases that a caller expects: the list, how a model spells it, and what is written for it."""
