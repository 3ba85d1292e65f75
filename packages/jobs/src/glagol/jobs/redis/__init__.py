"""The job queue on Redis Streams, for several machines."""
