"""Recipe of the embedded default ``gigaam-nano``: text, voices, training, export, evaluation."""
