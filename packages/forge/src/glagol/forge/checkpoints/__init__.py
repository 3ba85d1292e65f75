"""Readers of weights and tokenizers as data: safetensors, torch's zip, SentencePiece."""
