"""Texts as vectors: an engine on ONNX Runtime, and the server embed-server around it."""
