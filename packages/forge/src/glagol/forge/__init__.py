"""From checkpoints to verified models: reference, graph builder, parity, recipes."""
