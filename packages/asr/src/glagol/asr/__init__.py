"""asr-server: the Litestar service around `glagol.speech`."""
