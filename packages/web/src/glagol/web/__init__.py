"""What every HTTP service of Glagol shares: envelope, errors, log, limits; no audio, no models."""
