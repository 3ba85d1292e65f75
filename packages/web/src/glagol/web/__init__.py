"""The HTTP layer of all servers: envelope, errors, logs, access, limits; no audio, no models."""
