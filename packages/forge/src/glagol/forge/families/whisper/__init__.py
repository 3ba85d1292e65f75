"""Whisper: sizes, weights, tokens and the authored graphs of encoder and decoder."""
