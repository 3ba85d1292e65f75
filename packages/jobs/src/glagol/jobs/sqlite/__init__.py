"""The job queue in an SQLite file, for one machine."""
