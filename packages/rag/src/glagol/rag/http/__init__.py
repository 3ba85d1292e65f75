"""rag-server: the index of transcripts over HTTP."""
