"""Turn texts into vectors: an engine on ONNX Runtime, and the server embed-server around it."""
