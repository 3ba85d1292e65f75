"""Whisper: log-mel front end, attention encoder and decoder, search by rules, word times."""
