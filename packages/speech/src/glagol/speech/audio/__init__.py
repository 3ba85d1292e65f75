"""Recordings to samples: decoding, containers, streams that arrive in pieces."""
