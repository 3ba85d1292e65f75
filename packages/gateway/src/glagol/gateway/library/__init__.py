"""The library: recordings, what machines made of them, and what people changed."""
