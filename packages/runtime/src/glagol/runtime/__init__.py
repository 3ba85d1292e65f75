"""ONNX Runtime: sessions, providers and their checks, CUDA, batches, native kernels; no speech."""
