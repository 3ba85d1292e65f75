"""Many recordings in one call: which they are, where results go, and how far the work is."""
