"""Voice activity: the model and the rule that makes spans of its probabilities."""
