"""Pages, a library of recordings, and one origin for all services."""
