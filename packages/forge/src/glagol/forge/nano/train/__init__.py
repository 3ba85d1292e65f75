"""Training: batches, losses, optimisers, the loop, weights on disk."""
