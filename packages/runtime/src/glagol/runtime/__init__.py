"""ONNX Runtime: sessions, providers and their proof, CUDA, batches, native kernels; no speech."""
