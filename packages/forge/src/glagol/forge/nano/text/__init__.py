"""Text for training and tests: sources, cleaning, templates, numbers, vocabulary."""
