"""Speech for training and tests: voices, synthesis, distortions, features, shards."""
